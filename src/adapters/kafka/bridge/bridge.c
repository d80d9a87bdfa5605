/*
 * The packed bridge: records by the batch between librdkafka and JavaScript, on the rd_kafka_t of a client that the package
 * @confluentinc/kafka-javascript made. bridge.ts says what it gives; src/README.md why it is here.
 *
 * How it comes to the rd_kafka_t. This file is loaded by Node as an addon, and by librdkafka as a plugin
 * (`plugin.library.paths`), which is one and the same instance in the process. As a plugin it puts interceptors on the
 * configuration; a property of our own carries the number of the client, so when librdkafka makes the rd_kafka_t with that
 * number we are told its address, and told again before it is freed. All of it is librdkafka's public API ("Plugins" and
 * "Interceptors" in rdkafka.h); no layout of the package's classes is known here.
 *
 * How it comes to librdkafka's functions. They are looked up in the package's own addon, which is loaded already: whichever
 * way that one is linked, these are the functions of the instance that made the rd_kafka_t.
 *
 * Who may touch the rd_kafka_t. Threads of the pool, and the main thread while it reads headers; each counts itself in
 * `users` first. `on_destroy` runs in librdkafka's thread, before anything is freed: it turns new users away, wakes the one
 * that waits for records, and goes on when none is left. Records that lie here at that moment are given back by it.
 *
 *      main thread            pool                                    librdkafka's thread
 *      take ────────────────▶ records wait, grouped by partition
 *      layout ◀────────────── (held: librdkafka's memory)             on_destroy: waits for users, drops what is held
 *      memory for each batch
 *      fill ────────────────▶ copied there, given back
 */
#define NAPI_VERSION 8
#include <dlfcn.h>
#include <node_api.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "rdkafka.h"

/* Raised with every change of what bridge.ts may expect of this file. */
#define BRIDGE_INTERFACE 2
#define PROPERTY "settlefleet.bridge"
#define NAME "settlefleet"
#define TOPIC_LENGTH_MAX 249
/* Asked of librdkafka at a time, so that a batch of large records ends soon after its bytes are full. */
#define CHUNK 256

#define SYMBOLS(X)                                                                                                     \
    X(version) X(err2str) X(last_error) X(topic_new) X(topic_name) X(topic_destroy) X(produce) X(produceva)           \
    X(error_code) X(error_destroy) X(headers_new) X(headers_destroy) X(header_add) X(header_get_all)                  \
    X(message_headers) X(message_timestamp) X(message_destroy) X(queue_get_consumer) X(queue_destroy) X(queue_yield)  \
    X(consume_batch_queue) X(conf_interceptor_add_on_new) X(conf_interceptor_add_on_conf_set)                         \
    X(conf_interceptor_add_on_conf_dup) X(conf_interceptor_add_on_conf_destroy) X(interceptor_add_on_destroy)

/* librdkafka's functions, as the package's addon has them: k.produce is rd_kafka_produce. */
static struct {
#define DECLARE(name) __typeof__(&rd_kafka_##name) name;
    SYMBOLS(DECLARE)
} k;
static int attached;

/* --- clients ------------------------------------------------------------------------------------------------------- */

/* Records of one partition within a batch. */
struct group {
    rd_kafka_topic_t *topic; /* only compared, while the records are held */
    char name[TOPIC_LENGTH_MAX + 1];
    int32_t partition;
    uint32_t count;
    uint64_t bytes;
    /* Where its next record goes, while it is filled. */
    uint8_t *memory;
    uint32_t row;
    uint64_t at;
};

struct end_of_partition {
    char name[TOPIC_LENGTH_MAX + 1];
    int32_t partition;
    int64_t offset;
};

struct client {
    uint64_t number;
    struct client *next; /* in the registry */
    int references;      /* JavaScript's handle, and the rd_kafka_t while it lives; guarded by the registry's lock */

    pthread_mutex_t lock;
    pthread_cond_t unused;
    rd_kafka_t *rk; /* NULL before it was made and once it is being freed */
    rd_kafka_queue_t *queue;
    int users;
    int closed; /* by JavaScript: nothing new begins */
    int busy;   /* a batch is under way: main thread only */

    /* The batch. Written by its one user, read by the main thread in between. */
    rd_kafka_message_t **held;
    uint32_t *group_of; /* by record */
    size_t held_count, held_room;
    struct group *groups;
    uint32_t group_count, group_room;
    struct end_of_partition *ends;
    size_t end_count, end_room;
    size_t with_headers;
    uint64_t bytes;
    rd_kafka_resp_err_t error;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct client *registry;
static uint64_t last_number;

static void *grown(void *memory, size_t count, size_t size) {
    void *larger = realloc(memory, count * size);
    if (larger == NULL) {
        fprintf(stderr, "settlefleet: out of memory in the Kafka bridge (%zu bytes)\n", count * size);
        abort();
    }
    return larger;
}

static void release(struct client *client) {
    pthread_mutex_lock(&registry_lock);
    int last = --client->references == 0;
    if (last) {
        for (struct client **at = &registry; *at != NULL; at = &(*at)->next) {
            if (*at != client) continue;
            *at = client->next;
            break;
        }
    }
    pthread_mutex_unlock(&registry_lock);
    if (!last) return;
    pthread_cond_destroy(&client->unused);
    pthread_mutex_destroy(&client->lock);
    free(client->held);
    free(client->group_of);
    free(client->groups);
    free(client->ends);
    free(client);
}

/* True: the rd_kafka_t may be used until `leave`. */
static int enter(struct client *client, int even_closed) {
    pthread_mutex_lock(&client->lock);
    int may = client->rk != NULL && (even_closed || !client->closed);
    if (may) client->users++;
    pthread_mutex_unlock(&client->lock);
    return may;
}

static void leave(struct client *client) {
    pthread_mutex_lock(&client->lock);
    if (--client->users == 0) pthread_cond_broadcast(&client->unused);
    pthread_mutex_unlock(&client->lock);
}

/* With the only right to the batch. */
static void give_back(struct client *client) {
    for (size_t i = 0; i < client->held_count; i++) k.message_destroy(client->held[i]);
    client->held_count = 0;
}

/* --- librdkafka's side: plugin and interceptors ------------------------------------------------------------------------ */

/* What hangs on one configuration. */
struct configured {
    uint64_t number;
};

static void prepare(rd_kafka_conf_t *conf);

static rd_kafka_resp_err_t on_destroy(rd_kafka_t *rk, void *opaque) {
    struct client *client = opaque;
    pthread_mutex_lock(&client->lock);
    if (client->rk == rk) {
        client->rk = NULL;
        while (client->users > 0) {
            /* Again and again: another reader of the queue may have been woken in place of ours. */
            if (client->queue != NULL) k.queue_yield(client->queue);
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += 10 * 1000 * 1000;
            if (until.tv_nsec >= 1000000000) {
                until.tv_sec++;
                until.tv_nsec -= 1000000000;
            }
            pthread_cond_timedwait(&client->unused, &client->lock, &until);
        }
        give_back(client);
        if (client->queue != NULL) k.queue_destroy(client->queue);
        client->queue = NULL;
    }
    pthread_mutex_unlock(&client->lock);
    release(client);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque, char *errstr, size_t errstr_size) {
    (void)conf, (void)errstr, (void)errstr_size;
    const struct configured *configured = opaque;
    pthread_mutex_lock(&registry_lock);
    struct client *client = registry;
    while (client != NULL && client->number != configured->number) client = client->next;
    if (client != NULL) client->references++;
    pthread_mutex_unlock(&registry_lock);
    if (client == NULL) return RD_KAFKA_RESP_ERR_NO_ERROR;
    if (k.interceptor_add_on_destroy(rk, NAME, on_destroy, client) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        release(client);
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    pthread_mutex_lock(&client->lock);
    client->rk = rk;
    client->closed = 0;
    pthread_mutex_unlock(&client->lock);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_conf_res_t on_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, char *errstr,
                                       size_t errstr_size, void *opaque) {
    (void)conf, (void)errstr, (void)errstr_size;
    if (strcmp(name, PROPERTY) != 0) return RD_KAFKA_CONF_UNKNOWN;
    ((struct configured *)opaque)->number = value == NULL ? 0 : strtoull(value, NULL, 10);
    return RD_KAFKA_CONF_OK;
}

static rd_kafka_resp_err_t on_conf_dup(rd_kafka_conf_t *copy, const rd_kafka_conf_t *conf, size_t filter_count,
                                       const char **filter, void *opaque) {
    (void)conf, (void)filter_count, (void)filter, (void)opaque;
    /* librdkafka sets our property anew on the copy, from where it kept it. */
    prepare(copy);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_conf_destroy(void *opaque) {
    free(opaque);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void prepare(rd_kafka_conf_t *conf) {
    struct configured *configured = grown(NULL, 1, sizeof *configured);
    configured->number = 0;
    /* A copy is prepared twice, by on_conf_dup and by its own plugin.library.paths: the first one counts. */
    if (k.conf_interceptor_add_on_new(conf, NAME, on_new, configured) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        free(configured);
        return;
    }
    k.conf_interceptor_add_on_conf_set(conf, NAME, on_conf_set, configured);
    k.conf_interceptor_add_on_conf_dup(conf, NAME, on_conf_dup, configured);
    k.conf_interceptor_add_on_conf_destroy(conf, NAME, on_conf_destroy, configured);
}

/* Called by librdkafka for `plugin.library.paths`. */
__attribute__((visibility("default"))) rd_kafka_resp_err_t conf_init(rd_kafka_conf_t *conf, void **opaque, char *errstr,
                                                                    size_t errstr_size) {
    *opaque = NULL;
    if (!attached) {
        snprintf(errstr, errstr_size, "the Kafka bridge was not attached to this librdkafka");
        return RD_KAFKA_RESP_ERR__STATE;
    }
    prepare(conf);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* --- a batch, in a thread of the pool ------------------------------------------------------------------------------------ */

static uint32_t group_for(struct client *client, const rd_kafka_message_t *message) {
    /* Records come in runs of a partition, so the last one is right as a rule, and partitions are few. */
    for (uint32_t i = client->group_count; i-- > 0;) {
        if (client->groups[i].topic == message->rkt && client->groups[i].partition == message->partition) return i;
    }
    if (client->group_count == client->group_room) {
        client->group_room = client->group_room == 0 ? 16 : client->group_room * 2;
        client->groups = grown(client->groups, client->group_room, sizeof *client->groups);
    }
    struct group *group = &client->groups[client->group_count];
    memset(group, 0, sizeof *group);
    group->topic = message->rkt;
    group->partition = message->partition;
    snprintf(group->name, sizeof group->name, "%s", k.topic_name(message->rkt));
    return client->group_count++;
}

static void note_end(struct client *client, const rd_kafka_message_t *message) {
    if (client->end_count == client->end_room) {
        client->end_room = client->end_room == 0 ? 16 : client->end_room * 2;
        client->ends = grown(client->ends, client->end_room, sizeof *client->ends);
    }
    struct end_of_partition *end = &client->ends[client->end_count++];
    snprintf(end->name, sizeof end->name, "%s", k.topic_name(message->rkt));
    end->partition = message->partition;
    end->offset = message->offset;
}

/* Keeps records, notes ends of partitions, and returns 0 after an error that a consumer is told. */
static int sort_in(struct client *client, size_t from, size_t to) {
    int whole = 1;
    size_t kept = from;
    for (size_t i = from; i < to; i++) {
        rd_kafka_message_t *message = client->held[i];
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
                note_end(client, message);
            } else {
                if (client->error == RD_KAFKA_RESP_ERR_NO_ERROR) client->error = message->err;
                whole = 0;
            }
            k.message_destroy(message);
            continue;
        }
        rd_kafka_headers_t *headers;
        uint32_t index = group_for(client, message);
        uint64_t size = message->len + message->key_len;
        client->groups[index].count++;
        client->groups[index].bytes += size;
        client->bytes += size;
        if (k.message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) client->with_headers++;
        client->held[kept] = message;
        client->group_of[kept++] = index;
    }
    client->held_count = kept;
    return whole;
}

static void collect(struct client *client, size_t records_max, uint64_t bytes_max, int wait_ms) {
    client->group_count = 0;
    client->end_count = client->with_headers = 0;
    client->bytes = 0;
    client->error = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (client->held_room < records_max) {
        client->held = grown(client->held, records_max, sizeof *client->held);
        client->group_of = grown(client->group_of, records_max, sizeof *client->group_of);
        client->held_room = records_max;
    }
    if (client->queue == NULL) {
        rd_kafka_queue_t *queue = k.queue_get_consumer(client->rk);
        pthread_mutex_lock(&client->lock);
        client->queue = queue;
        int closed = client->closed;
        pthread_mutex_unlock(&client->lock);
        if (queue == NULL) client->error = RD_KAFKA_RESP_ERR__UNKNOWN_GROUP;
        /* Whoever closed it meanwhile found no queue to wake us at. */
        if (queue == NULL || closed) return;
    }
    /* Waits for the first only: a batch call would wait until it is full. */
    size_t wanted = 1;
    while (client->held_count < records_max && client->bytes < bytes_max) {
        ssize_t got = k.consume_batch_queue(client->queue, wait_ms, client->held + client->held_count, wanted);
        if (got <= 0) break;
        if (!sort_in(client, client->held_count, client->held_count + (size_t)got)) break;
        if ((size_t)got < wanted) break;
        wait_ms = 0;
        wanted = records_max - client->held_count < CHUNK ? records_max - client->held_count : CHUNK;
    }
}

/*
 * A batch's memory: columns, then keys and values back to back. n records:
 *   n x double offsets, n x double timestamps, n x int32 key start, key length, value start, value length, bytes.
 * A start is counted from the first of the bytes; -1 is null.
 */
static size_t columns_size(uint32_t count) { return (size_t)count * 32; }

static int32_t put(struct group *group, uint8_t *bytes, const void *data, size_t length) {
    if (data == NULL) return -1;
    int32_t start = (int32_t)group->at;
    memcpy(bytes + group->at, data, length);
    group->at += length;
    return start;
}

static void copy_out(struct client *client) {
    for (size_t i = 0; i < client->held_count; i++) {
        rd_kafka_message_t *message = client->held[i];
        struct group *group = &client->groups[client->group_of[i]];
        uint32_t n = group->count, row = group->row++;
        double *numbers = (double *)group->memory;
        int32_t *spans = (int32_t *)(numbers + 2 * (size_t)n);
        uint8_t *bytes = group->memory + columns_size(n);
        rd_kafka_timestamp_type_t type;
        numbers[row] = (double)message->offset;
        int64_t timestamp = k.message_timestamp(message, &type);
        numbers[n + row] = (double)timestamp;
        spans[row] = put(group, bytes, message->key, message->key_len);
        spans[n + row] = message->key == NULL ? 0 : (int32_t)message->key_len;
        spans[2 * (size_t)n + row] = put(group, bytes, message->payload, message->len);
        spans[3 * (size_t)n + row] = message->payload == NULL ? 0 : (int32_t)message->len;
    }
    give_back(client);
}

/* --- JavaScript's side ------------------------------------------------------------------------------------------------- */

static void fail(napi_env env, const char *message) { napi_throw_error(env, NULL, message); }

static napi_value number_of(napi_env env, double value) {
    napi_value result;
    napi_create_double(env, value, &result);
    return result;
}

static napi_value text_of(napi_env env, const char *text) {
    napi_value result;
    if (napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &result) != napi_ok) napi_get_undefined(env, &result);
    return result;
}

static struct client *client_of(napi_env env, napi_value handle) {
    void *client = NULL;
    if (napi_get_value_external(env, handle, &client) != napi_ok) fail(env, "not a handle of the Kafka bridge");
    return client;
}

static double given_number(napi_env env, napi_value value) {
    double number = 0;
    napi_get_value_double(env, value, &number);
    return number;
}

static void push(napi_env env, napi_value array, uint32_t *length, napi_value value) {
    napi_set_element(env, array, (*length)++, value);
}

/* attach(path of the package's addon) -> '' or why not. */
static napi_value js_attach(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    char path[4096], why[512];
    napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
    if (argc < 1 || napi_get_value_string_utf8(env, argv[0], path, sizeof path, NULL) != napi_ok) return text_of(env, "no path");
    if (attached) return text_of(env, "");
    /* Only what is loaded already; kept open for ever, as Node does with addons. */
    void *library = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    if (library == NULL) {
        snprintf(why, sizeof why, "the Kafka client's addon is not loaded: %s", dlerror());
        return text_of(env, why);
    }
#define FIND(name)                                                                                                     \
    *(void **)&k.name = dlsym(library, "rd_kafka_" #name);                                                             \
    if (k.name == NULL) return text_of(env, "the Kafka client's addon does not give away rd_kafka_" #name);
    SYMBOLS(FIND)
    if (k.version() != RD_KAFKA_VERSION) {
        snprintf(why, sizeof why, "built for librdkafka %#x, the Kafka client has %#x", RD_KAFKA_VERSION, k.version());
        return text_of(env, why);
    }
    attached = 1;
    return text_of(env, "");
}

static void finalize_handle(napi_env env, void *data, void *hint) {
    (void)env, (void)hint;
    release(data);
}

/* register() -> [handle, number as text] */
static napi_value js_register(napi_env env, napi_callback_info info) {
    (void)info;
    struct client *client = grown(NULL, 1, sizeof *client);
    memset(client, 0, sizeof *client);
    pthread_mutex_init(&client->lock, NULL);
    pthread_cond_init(&client->unused, NULL);
    client->references = 1;
    pthread_mutex_lock(&registry_lock);
    client->number = ++last_number;
    client->next = registry;
    registry = client;
    pthread_mutex_unlock(&registry_lock);
    char number[32];
    snprintf(number, sizeof number, "%llu", (unsigned long long)client->number);
    napi_value result, handle;
    napi_create_array_with_length(env, 2, &result);
    napi_create_external(env, client, finalize_handle, NULL, &handle);
    napi_set_element(env, result, 0, handle);
    napi_set_element(env, result, 1, text_of(env, number));
    return result;
}

/* close(handle): nothing new begins, and who waits for records is woken. */
static napi_value js_close(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
    struct client *client = client_of(env, argv[0]);
    if (client == NULL) return NULL;
    pthread_mutex_lock(&client->lock);
    client->closed = 1;
    if (client->rk != NULL && client->queue != NULL && client->users > 0) k.queue_yield(client->queue);
    pthread_mutex_unlock(&client->lock);
    return NULL;
}

/* One piece of work in the pool. */
struct work {
    napi_async_work work;
    napi_deferred deferred;
    napi_ref handle; /* keeps the client */
    napi_ref memory; /* keeps what is written to or read from */
    struct client *client;
    int open;
    /* take */
    size_t records_max;
    uint64_t bytes_max;
    int wait_ms;
    /* produce */
    const uint8_t *bytes;
    const int32_t *columns;
    uint32_t first, next, to; /* `next` tells how far it got */
    char **topics;
    uint32_t topic_count;
    rd_kafka_headers_t **headers; /* by record from `first`; NULL where none has any */
    rd_kafka_resp_err_t error;
};

static napi_value begin(napi_env env, struct work *work, napi_value handle, napi_value memory, const char *name,
                        napi_async_execute_callback execute, napi_async_complete_callback complete) {
    napi_value promise;
    napi_create_reference(env, handle, 1, &work->handle);
    if (memory != NULL) napi_create_reference(env, memory, 1, &work->memory);
    napi_create_promise(env, &work->deferred, &promise);
    napi_create_async_work(env, NULL, text_of(env, name), execute, complete, work, &work->work);
    napi_queue_async_work(env, work->work);
    return promise;
}

static void end(napi_env env, struct work *work, napi_value result) {
    napi_resolve_deferred(env, work->deferred, result);
    napi_delete_async_work(env, work->work);
    napi_delete_reference(env, work->handle);
    if (work->memory != NULL) napi_delete_reference(env, work->memory);
    free(work);
}

static void execute_take(napi_env env, void *data) {
    (void)env;
    struct work *work = data;
    if (!(work->open = enter(work->client, 0))) return;
    collect(work->client, work->records_max, work->bytes_max, work->wait_ms);
    leave(work->client);
}

/* Four values a header: group, row, key, value. Only records that have headers are in it. */
static napi_value headers_held(napi_env env, struct client *client) {
    napi_value list;
    uint32_t length = 0;
    napi_create_array(env, &list);
    for (uint32_t i = 0; i < client->group_count; i++) client->groups[i].row = 0;
    for (size_t i = 0; i < client->held_count; i++) {
        uint32_t index = client->group_of[i];
        uint32_t row = client->groups[index].row++;
        rd_kafka_headers_t *headers;
        if (k.message_headers(client->held[i], &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
        const char *name;
        const void *value;
        size_t size;
        for (size_t at = 0; k.header_get_all(headers, at, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; at++) {
            napi_value bytes;
            if (value == NULL) napi_get_null(env, &bytes);
            else napi_create_buffer_copy(env, size, value, NULL, &bytes);
            push(env, list, &length, number_of(env, index));
            push(env, list, &length, number_of(env, row));
            push(env, list, &length, text_of(env, name));
            push(env, list, &length, bytes);
        }
    }
    for (uint32_t i = 0; i < client->group_count; i++) client->groups[i].row = 0;
    return list;
}

/* Resolves to { groups: [topic, partition, count, bytes, ...], ends: [topic, partition, offset, ...], headers, error } or null. */
static void complete_take(napi_env env, napi_status status, void *data) {
    struct work *work = data;
    struct client *client = work->client;
    napi_value result, groups, ends;
    /* Nobody takes a batch from one that was closed meanwhile: what came is given back, and its offsets stay where they are. */
    int usable = status == napi_ok && work->open && enter(client, 0);
    if (!usable) {
        if (enter(client, 1)) {
            give_back(client);
            leave(client);
        }
        client->busy = 0;
        napi_get_null(env, &result);
        end(env, work, result);
        return;
    }
    napi_create_object(env, &result);
    napi_create_array_with_length(env, client->group_count * 4, &groups);
    uint32_t length = 0;
    for (uint32_t i = 0; i < client->group_count; i++) {
        push(env, groups, &length, text_of(env, client->groups[i].name));
        push(env, groups, &length, number_of(env, client->groups[i].partition));
        push(env, groups, &length, number_of(env, client->groups[i].count));
        push(env, groups, &length, number_of(env, (double)client->groups[i].bytes));
    }
    length = 0;
    napi_create_array_with_length(env, client->end_count * 3, &ends);
    for (size_t i = 0; i < client->end_count; i++) {
        push(env, ends, &length, text_of(env, client->ends[i].name));
        push(env, ends, &length, number_of(env, client->ends[i].partition));
        push(env, ends, &length, number_of(env, (double)client->ends[i].offset));
    }
    napi_set_named_property(env, result, "groups", groups);
    napi_set_named_property(env, result, "ends", ends);
    if (client->with_headers > 0) napi_set_named_property(env, result, "headers", headers_held(env, client));
    napi_set_named_property(env, result, "error", number_of(env, client->error));
    if (client->group_count == 0) client->busy = 0;
    leave(client);
    end(env, work, result);
}

/* take(handle, recordsMax, bytesMax, waitMs) -> Promise of a layout. One at a time, and `fill` must follow. */
static napi_value js_take(napi_env env, napi_callback_info info) {
    size_t argc = 4;
    napi_value argv[4];
    napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
    struct client *client = client_of(env, argv[0]);
    if (client == NULL) return NULL;
    if (client->busy) {
        fail(env, "a batch of this client is under way");
        return NULL;
    }
    client->busy = 1;
    struct work *work = grown(NULL, 1, sizeof *work);
    memset(work, 0, sizeof *work);
    work->client = client;
    work->records_max = (size_t)given_number(env, argv[1]);
    work->bytes_max = (uint64_t)given_number(env, argv[2]);
    work->wait_ms = (int)given_number(env, argv[3]);
    return begin(env, work, argv[0], NULL, "settlefleet:take", execute_take, complete_take);
}

static void execute_fill(napi_env env, void *data) {
    (void)env;
    struct work *work = data;
    if (!(work->open = enter(work->client, 1))) return;
    copy_out(work->client);
    leave(work->client);
}

static void complete_fill(napi_env env, napi_status status, void *data) {
    struct work *work = data;
    napi_value result;
    work->client->busy = 0;
    napi_get_boolean(env, status == napi_ok && work->open, &result);
    end(env, work, result);
}

/* fill(handle, [Uint8Array for each group]) -> Promise: true when they hold the batch, false when the client has gone. */
static napi_value js_fill(napi_env env, napi_callback_info info) {
    size_t argc = 2;
    napi_value argv[2], view;
    napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
    struct client *client = client_of(env, argv[0]);
    if (client == NULL) return NULL;
    if (!client->busy) {
        fail(env, "there is no batch to fill from");
        return NULL;
    }
    for (uint32_t i = 0; i < client->group_count; i++) {
        napi_typedarray_type type;
        size_t length = 0;
        void *memory = NULL;
        struct group *group = &client->groups[i];
        if (napi_get_element(env, argv[1], i, &view) != napi_ok ||
            napi_get_typedarray_info(env, view, &type, &length, &memory, NULL, NULL) != napi_ok || type != napi_uint8_array ||
            length < columns_size(group->count) + group->bytes || (uintptr_t)memory % 8 != 0) {
            fail(env, "the memory for a batch is missing, too small or not aligned");
            return NULL;
        }
        group->memory = memory;
        group->row = 0;
        group->at = 0;
    }
    struct work *work = grown(NULL, 1, sizeof *work);
    memset(work, 0, sizeof *work);
    work->client = client;
    return begin(env, work, argv[0], argv[1], "settlefleet:fill", execute_fill, complete_fill);
}

/* --- a slab, in a thread of the pool --------------------------------------------------------------------------------------- */

enum { topic_column, partition_column, key_start_column, key_length_column, value_start_column, value_length_column, columns };

/* An empty value is not a null one: librdkafka tells them apart by the address. */
static const char nothing[1];

static const void *bytes_at(const struct work *work, int32_t start, int32_t length) {
    if (length < 0) return NULL;
    return length == 0 ? (const void *)nothing : work->bytes + start;
}

static rd_kafka_resp_err_t produce_one(struct work *work, rd_kafka_topic_t *topic, uint32_t record) {
    const int32_t *row = work->columns + (size_t)record * columns;
    int32_t key_length = row[key_length_column], value_length = row[value_length_column];
    const void *key = bytes_at(work, row[key_start_column], key_length);
    const void *value = bytes_at(work, row[value_start_column], value_length);
    size_t key_size = key_length < 0 ? 0 : (size_t)key_length, value_size = value_length < 0 ? 0 : (size_t)value_length;
    rd_kafka_headers_t **headers = work->headers == NULL ? NULL : &work->headers[record - work->first];
    if (headers == NULL || *headers == NULL) {
        if (k.produce(topic, row[partition_column], RD_KAFKA_MSG_F_COPY, (void *)value, value_size, key, key_size, NULL) == 0)
            return RD_KAFKA_RESP_ERR_NO_ERROR;
        return k.last_error();
    }
    rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = row[partition_column]},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {.ptr = (void *)value, .size = value_size}},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {.ptr = (void *)key, .size = key_size}},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = *headers},
    };
    rd_kafka_error_t *error = k.produceva(work->client->rk, parts, sizeof parts / sizeof *parts);
    if (error == NULL) {
        *headers = NULL; /* librdkafka's now */
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    rd_kafka_resp_err_t code = k.error_code(error);
    k.error_destroy(error);
    return code;
}

static void execute_produce(napi_env env, void *data) {
    (void)env;
    struct work *work = data;
    if (!(work->open = enter(work->client, 0))) return;
    rd_kafka_topic_t **topics = grown(NULL, work->topic_count + 1, sizeof *topics);
    memset(topics, 0, (work->topic_count + 1) * sizeof *topics);
    for (; work->next < work->to; work->next++) {
        uint32_t index = (uint32_t)work->columns[(size_t)work->next * columns + topic_column];
        if (topics[index] == NULL) topics[index] = k.topic_new(work->client->rk, work->topics[index], NULL);
        work->error = topics[index] == NULL ? k.last_error() : produce_one(work, topics[index], work->next);
        if (work->error != RD_KAFKA_RESP_ERR_NO_ERROR) break;
    }
    for (uint32_t i = 0; i < work->topic_count; i++) {
        if (topics[i] != NULL) k.topic_destroy(topics[i]);
    }
    free(topics);
    leave(work->client);
}

static void complete_produce(napi_env env, napi_status status, void *data) {
    struct work *work = data;
    napi_value result;
    napi_create_array_with_length(env, 2, &result);
    napi_set_element(env, result, 0, number_of(env, work->next));
    napi_set_element(env, result, 1, number_of(env, status == napi_ok && work->open ? work->error : RD_KAFKA_RESP_ERR__STATE));
    for (uint32_t i = 0; i < work->topic_count; i++) free(work->topics[i]);
    free(work->topics);
    for (uint32_t i = 0; work->headers != NULL && i < work->to - work->first; i++) {
        if (work->headers[i] != NULL) k.headers_destroy(work->headers[i]);
    }
    free(work->headers);
    end(env, work, result);
}

static char *copied_text(napi_env env, napi_value value) {
    size_t length = 0;
    if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) return NULL;
    char *text = grown(NULL, length + 1, 1);
    napi_get_value_string_utf8(env, value, text, length + 1, NULL);
    return text;
}

/* Three values a header: record, key, value. Those of records before `first` were sent already. */
static void read_headers(napi_env env, struct work *work, napi_value list) {
    uint32_t length = 0;
    if (napi_get_array_length(env, list, &length) != napi_ok || length == 0) return;
    work->headers = grown(NULL, work->to - work->first + 1, sizeof *work->headers);
    memset(work->headers, 0, (work->to - work->first + 1) * sizeof *work->headers);
    for (uint32_t at = 0; at + 2 < length; at += 3) {
        napi_value number, name, value;
        napi_get_element(env, list, at, &number);
        uint32_t record = (uint32_t)given_number(env, number);
        if (record < work->first || record >= work->to) continue;
        napi_get_element(env, list, at + 1, &name);
        napi_get_element(env, list, at + 2, &value);
        rd_kafka_headers_t **headers = &work->headers[record - work->first];
        if (*headers == NULL) *headers = k.headers_new(4);
        char *text = copied_text(env, name);
        void *bytes = NULL;
        size_t size = 0;
        if (napi_get_typedarray_info(env, value, NULL, &size, &bytes, NULL, NULL) != napi_ok) size = 0;
        k.header_add(*headers, text == NULL ? "" : text, -1, size == 0 ? nothing : bytes, (ssize_t)size);
        free(text);
    }
}

/*
 * produce(handle, bytes, columns, topics, headers, first, to) -> Promise of [how far it got, librdkafka's error or 0].
 * Nothing may write to `bytes` and `columns` until then.
 */
static napi_value js_produce(napi_env env, napi_callback_info info) {
    size_t argc = 7;
    napi_value argv[7], keep;
    napi_typedarray_type bytes_type, columns_type;
    void *bytes = NULL, *numbers = NULL;
    size_t bytes_length = 0, numbers_length = 0;
    napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
    struct client *client = client_of(env, argv[0]);
    if (client == NULL) return NULL;
    uint32_t first = (uint32_t)given_number(env, argv[5]), to = (uint32_t)given_number(env, argv[6]), topic_count = 0;
    if (napi_get_typedarray_info(env, argv[1], &bytes_type, &bytes_length, &bytes, NULL, NULL) != napi_ok ||
        napi_get_typedarray_info(env, argv[2], &columns_type, &numbers_length, &numbers, NULL, NULL) != napi_ok ||
        napi_get_array_length(env, argv[3], &topic_count) != napi_ok || columns_type != napi_int32_array ||
        bytes_type != napi_uint8_array || first > to || numbers_length < (size_t)to * columns) {
        fail(env, "not a slab of records");
        return NULL;
    }
    /* The columns are looked through once, so that a wrong one is refused instead of read. */
    const int32_t *rows = numbers;
    for (uint32_t i = first; i < to; i++) {
        const int32_t *row = rows + (size_t)i * columns;
        int64_t key_end = row[key_length_column] < 0 ? 0 : (int64_t)row[key_start_column] + row[key_length_column];
        int64_t value_end = row[value_length_column] < 0 ? 0 : (int64_t)row[value_start_column] + row[value_length_column];
        if (row[topic_column] < 0 || (uint32_t)row[topic_column] >= topic_count || row[key_start_column] < 0 ||
            row[value_start_column] < 0 || key_end > (int64_t)bytes_length || value_end > (int64_t)bytes_length) {
            fail(env, "a record of the slab lies outside of its bytes");
            return NULL;
        }
    }
    struct work *work = grown(NULL, 1, sizeof *work);
    memset(work, 0, sizeof *work);
    work->client = client;
    work->bytes = bytes;
    work->columns = numbers;
    work->first = work->next = first;
    work->to = to;
    work->topic_count = topic_count;
    work->topics = grown(NULL, topic_count + 1, sizeof *work->topics);
    for (uint32_t i = 0; i < topic_count; i++) {
        napi_value name;
        napi_get_element(env, argv[3], i, &name);
        char *text = copied_text(env, name);
        work->topics[i] = text == NULL ? grown(strdup(""), 1, 1) : text;
    }
    read_headers(env, work, argv[4]);
    napi_create_array_with_length(env, 2, &keep);
    napi_set_element(env, keep, 0, argv[1]);
    napi_set_element(env, keep, 1, argv[2]);
    return begin(env, work, argv[0], keep, "settlefleet:produce", execute_produce, complete_produce);
}

/* drop(handle): gives back the records of a batch that nobody wants. */
static napi_value js_drop(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
    struct client *client = client_of(env, argv[0]);
    if (client == NULL) return NULL;
    if (enter(client, 1)) {
        give_back(client);
        leave(client);
    }
    client->busy = 0;
    return NULL;
}

/* account(bytes): memory that V8 does not count by itself, or negative when it has gone. */
static napi_value js_account(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    int64_t total;
    napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
    napi_adjust_external_memory(env, (int64_t)given_number(env, argv[0]), &total);
    return NULL;
}

/* describe(code) -> librdkafka's words for an error. */
static napi_value js_describe(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
    return text_of(env, k.err2str((rd_kafka_resp_err_t)given_number(env, argv[0])));
}

static void offer(napi_env env, napi_value exports, const char *name, napi_callback function) {
    napi_value value;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value);
    napi_set_named_property(env, exports, name, value);
}

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
    napi_set_named_property(env, exports, "bridgeInterface", number_of(env, BRIDGE_INTERFACE));
    offer(env, exports, "attach", js_attach);
    offer(env, exports, "register", js_register);
    offer(env, exports, "close", js_close);
    offer(env, exports, "take", js_take);
    offer(env, exports, "fill", js_fill);
    offer(env, exports, "drop", js_drop);
    offer(env, exports, "produce", js_produce);
    offer(env, exports, "account", js_account);
    offer(env, exports, "describe", js_describe);
    return exports;
}

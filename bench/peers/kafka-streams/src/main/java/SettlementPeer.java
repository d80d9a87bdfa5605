import com.fasterxml.aalto.stax.InputFactoryImpl;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import javax.xml.stream.XMLStreamConstants;
import javax.xml.stream.XMLStreamException;
import javax.xml.stream.XMLStreamReader;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The fleet's job in Kafka Streams, as somebody who knows it would write it: the processor API, exactly_once_v2, stores in
 * memory with changelogs, positions cached so that each is logged once a commit, Avro read and written by hand, the fastest
 * StAX parser there is. Events and credits are two sources of one sub-topology, so a participant's position has one owner.
 *
 * It does less than the fleet: no XSD, no IBAN, no currency and decimals, no directory, no bulk messages, no re-routing, and
 * its claims never expire. What it does not understand becomes a dead letter.
 */
public final class SettlementPeer {
    private static final long DEBIT_CAP = 900_000_000_000_000L;
    private static final BigDecimal SCALE = new BigDecimal(100_000);

    public static void main(String[] args) {
        Map<String, String> env = System.getenv();
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, env.get("GROUP"));
        settings.put(StreamsConfig.CLIENT_ID_CONFIG, env.get("PROCESS"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, env.get("KAFKA_BROKERS"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, Integer.parseInt(env.get("COMMIT_INTERVAL_MS")));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, args[0]);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 32L << 20);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 2_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG), 50);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);

        StoreBuilder<KeyValueStore<String, Long>> positions = Stores.keyValueStoreBuilder(
            Stores.inMemoryKeyValueStore("positions"), Serdes.String(), Serdes.Long()).withCachingEnabled();
        StoreBuilder<KeyValueStore<String, String>> claims = Stores.keyValueStoreBuilder(
            Stores.inMemoryKeyValueStore("claims"), Serdes.String(), Serdes.String());
        Topology topology = new Topology();
        topology.addSource("inbound", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), env.get("INBOUND"));
        topology.addSource("credits", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), env.get("CREDITS"));
        topology.addProcessor("settle", () -> new Settle(env.get("CREDITS")), "inbound", "credits");
        topology.addStateStore(positions, "settle");
        topology.addStateStore(claims, "settle");
        topology.addSink("to-results", env.get("RESULTS"), Serdes.ByteArray().serializer(), Serdes.ByteArray().serializer(), "settle");
        topology.addSink("to-dead-letters", env.get("DEAD_LETTER"), Serdes.ByteArray().serializer(), Serdes.ByteArray().serializer(), "settle");
        topology.addSink("to-credits", env.get("CREDITS"), Serdes.ByteArray().serializer(), Serdes.ByteArray().serializer(), "settle");

        KafkaStreams streams = new KafkaStreams(topology, settings);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(8))));
        streams.start();
    }

    /** What is needed of a message with one transaction. */
    private static final class Payment {
        String messageId, instructionId, endToEndId, transactionId, uetr, currency, debited, credited;
        long amount;
    }

    private static final class Settle implements Processor<byte[], byte[], byte[], byte[]> {
        private final String creditsTopic;
        private final InputFactoryImpl xml = new InputFactoryImpl();
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(512);
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<String, Long> positions;
        private KeyValueStore<String, String> claims;
        private BinaryDecoder decoder;
        private BinaryEncoder encoder;
        private int resultSchemaId = 1;
        private long sequence;

        Settle(String creditsTopic) {
            this.creditsTopic = creditsTopic;
        }

        @Override
        public void init(ProcessorContext<byte[], byte[]> given) {
            context = given;
            positions = given.getStateStore("positions");
            claims = given.getStateStore("claims");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            RecordMetadata from = context.recordMetadata().orElseThrow();
            if (from.topic().equals(creditsTopic)) {
                add(new String(record.key(), StandardCharsets.UTF_8) + "|EUR", ByteBuffer.wrap(record.value()).getLong());
                return;
            }
            try {
                settle(record, from);
            } catch (Exception notUnderstood) {
                context.forward(record, "to-dead-letters");
            }
        }

        private void settle(Record<byte[], byte[]> record, RecordMetadata from) throws Exception {
            byte[] value = record.value();
            if (value.length < 5 || value[0] != 0) throw new IllegalArgumentException("not framed");
            decoder = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, decoder);
            String eventId = decoder.readString();
            String messageType = decoder.readString();
            String source = decoder.readString();
            long createdAt = decoder.readLong();
            ByteBuffer document = decoder.readBytes(null);
            for (long left = decoder.readMapStart(); left > 0; left = decoder.mapNext()) {
                for (; left > 0; left--) {
                    decoder.skipString();
                    decoder.skipString();
                }
            }
            Payment payment = read(document);
            if (payment.debited == null || payment.currency == null) throw new IllegalArgumentException("no payment");
            String identity = "pacs.008|UETR|" + payment.uetr;
            String name = payment.debited + "|" + payment.currency;
            String owner = claims.putIfAbsent(payment.debited + "|" + identity, eventId);
            String reason = null;
            Long after = null;
            if (owner != null) reason = "AM05";
            else {
                Long before = positions.get(name);
                long next = (before == null ? 0 : before) - payment.amount;
                if (next < -DEBIT_CAP) reason = "AM04";
                else {
                    positions.put(name, next);
                    after = next;
                    byte[] leg = ByteBuffer.allocate(8).putLong(payment.amount).array();
                    context.forward(new Record<>(payment.credited.getBytes(StandardCharsets.UTF_8), leg, record.timestamp()), "to-credits");
                }
            }
            byte[] result = encode(eventId, messageType, source, createdAt, record.timestamp(), from, payment, reason, after, owner, identity);
            context.forward(new Record<>(record.key(), result, record.timestamp()), "to-results");
        }

        private void add(String name, long units) {
            Long before = positions.get(name);
            positions.put(name, (before == null ? 0 : before) + units);
        }

        private Payment read(ByteBuffer document) throws XMLStreamException {
            XMLStreamReader reader = xml.createXMLStreamReader(new ByteArrayInputStream(document.array(), document.arrayOffset() + document.position(), document.remaining()));
            Payment payment = new Payment();
            boolean inInstructing = false, inInstructed = false;
            while (reader.hasNext()) {
                int event = reader.next();
                if (event == XMLStreamConstants.START_ELEMENT) {
                    switch (reader.getLocalName()) {
                        case "MsgId" -> payment.messageId = reader.getElementText();
                        case "InstrId" -> payment.instructionId = reader.getElementText();
                        case "EndToEndId" -> payment.endToEndId = reader.getElementText();
                        case "TxId" -> payment.transactionId = reader.getElementText();
                        case "UETR" -> payment.uetr = reader.getElementText();
                        case "InstgAgt" -> inInstructing = true;
                        case "InstdAgt" -> inInstructed = true;
                        case "BICFI" -> {
                            if (inInstructing) payment.debited = reader.getElementText();
                            else if (inInstructed) payment.credited = reader.getElementText();
                        }
                        case "IntrBkSttlmAmt" -> {
                            payment.currency = reader.getAttributeValue(null, "Ccy");
                            payment.amount = new BigDecimal(reader.getElementText()).multiply(SCALE).longValueExact();
                        }
                        default -> { }
                    }
                } else if (event == XMLStreamConstants.END_ELEMENT) {
                    switch (reader.getLocalName()) {
                        case "InstgAgt" -> inInstructing = false;
                        case "InstdAgt" -> inInstructed = false;
                        default -> { }
                    }
                }
            }
            return payment;
        }

        private byte[] encode(
            String eventId, String messageType, String source, long createdAt, long receivedAt, RecordMetadata from,
            Payment payment, String reason, Long after, String owner, String identity
        ) throws java.io.IOException {
            bytes.reset();
            bytes.write(0);
            bytes.write(ByteBuffer.allocate(4).putInt(resultSchemaId).array());
            encoder = EncoderFactory.get().directBinaryEncoder(bytes, encoder);
            encoder.writeString(eventId);
            encoder.writeString(messageType);
            encoder.writeString(source);
            optional(payment.messageId);
            encoder.writeInt(0);
            optional(payment.instructionId);
            optional(payment.endToEndId);
            optional(payment.transactionId);
            optional(payment.uetr);
            encoder.writeString(reason == null ? "ACSC" : "RJCT");
            optional(reason);
            optional(null);
            optional(payment.debited);
            optional(payment.credited);
            optional(payment.currency);
            decimal(payment.amount);
            if (after == null) {
                encoder.writeIndex(0);
                encoder.writeIndex(0);
            } else {
                decimal(after);
                encoder.writeIndex(1);
                encoder.writeLong(++sequence);
            }
            encoder.writeLong(createdAt);
            encoder.writeLong(receivedAt);
            encoder.writeLong(System.currentTimeMillis());
            encoder.writeInt(from.partition());
            encoder.writeLong(from.offset());
            optional(owner);
            optional(identity);
            encoder.writeIndex(0);
            encoder.flush();
            return bytes.toByteArray();
        }

        private void optional(String text) throws java.io.IOException {
            encoder.writeIndex(text == null ? 0 : 1);
            if (text != null) encoder.writeString(text);
        }

        private void decimal(long units) throws java.io.IOException {
            encoder.writeIndex(1);
            encoder.writeBytes(java.math.BigInteger.valueOf(units).toByteArray());
        }
    }
}

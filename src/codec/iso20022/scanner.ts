/**
 * One pass over the bytes of a message: XML 1.0 with namespaces, the whole XSD of its message definition, and the places
 * of the wanted fields. No tree and no string is made, and nothing is read twice but values that need decoding.
 *
 *     prolog ─▶ wrappers ─┬─ AppHdr: well-formed, no more
 *                         └─ Document ─▶ tables ─▶ broken rules ─▶ the rest: well-formed, no more
 *
 * One broken rule is stepped over, because the markup behind it is known and cheap to compare; a second ends the tables.
 *
 * Sources: XML 1.0 (fifth edition), Namespaces in XML 1.0, XML Schema 1.0; contract section 3 for what is refused and in
 * which order.
 */
import type { CapturePlan } from './capture-plan.ts';
import {
  NAME_BEYOND_ASCII,
  NAME_START,
  TEXT_AMPERSAND,
  TEXT_BEYOND_ASCII,
  TEXT_BRACKET,
  TEXT_ILLEGAL,
  TEXT_LESS,
  TEXT_PLAIN,
  TEXT_RETURN,
  isNamePartBeyondAscii,
  isNameStartBeyondAscii,
  isXmlCharacter,
  isXmlSpace,
  nameClass,
  textClass,
} from './characters.ts';
import { ElementPath, namesOf } from './element-path.ts';
import {
  EVENT_LENGTH,
  EVENT_NODE,
  EVENT_OFFSET,
  EVENT_SLOT,
  LEVEL_LOCAL,
  LEVEL_NAME,
  LEVEL_NAME_LENGTH,
  LEVEL_NODE,
  LEVEL_PLACE,
  LEVEL_STATE,
  LEVEL_TYPE,
  MarkupRuns,
  eventColumns,
  levelColumns,
  packBytes,
  sameBytes,
} from './markup-runs.ts';
import type { MarkupRun, PackedBytes } from './markup-runs.ts';
import {
  missingAtEnd,
  missingAttribute,
  nilled,
  otherType,
  strayText,
  unexpectedAttribute,
  unexpectedElement,
  valueMessage,
} from './rule-messages.ts';
import type { RuleMessage } from './rule-messages.ts';
import {
  AUTOMATON_CLASSES,
  AUTOMATON_MOVES,
  AUTOMATON_WIDTH,
  FACET_AUTOMATON,
  FACET_KIND,
  FACET_LENGTH_MAX,
  FACET_LENGTH_MIN,
  automatonColumns,
  facetColumns,
  nameHash,
} from './schema-table.ts';
import type { SchemaTable } from './schema-table.ts';
import { brokenRule } from './values.ts';

/** The root is 1 (contract section 3, XML_FORBIDDEN). */
const depthMax = 64;
/** Stricter than XML, so that checks for duplicates stay linear in the size of the message. */
const attributesMax = 64;
const bindingsMax = 128;

/** Senders differ in declaration, prefix and version; a head is some 120 bytes. */
const headsMax = 8;
const headBytesMax = 1024;
const headBindingColumns = 7;
/** What one run of markup can note; ten times what a message has in life. */
const eventsMax = 64;
/** A strange message must not cost much more than a known one. */
const recordsPerMessageMax = 128;

const namespacePrefix = ascii('urn:iso:std:iso:20022:tech:xsd:');
const xmlNamespace = ascii('http://www.w3.org/XML/1998/namespace');
const xmlnsNamespace = ascii('http://www.w3.org/2000/xmlns/');
const instanceNamespace = ascii('http://www.w3.org/2001/XMLSchema-instance');
const documentName = ascii('Document');
const headerName = ascii('AppHdr');
const opaqueName = ascii('SplmtryData');
const messageIdName = ascii('MsgId');
const groupHeaderName = ascii('GrpHdr');

const LESS = 0x3c;
const GREATER = 0x3e;
const SLASH = 0x2f;
const BANG = 0x21;
const QUESTION = 0x3f;
const COLON = 0x3a;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const SPACE = 0x20;
const DASH = 0x2d;

/** What a walk without tables looks out for. */
const WALK_ENVELOPE = 0;
const WALK_OPAQUE = 1;
const WALK_BROKEN = 2;

/** `span` starts of -2 or less point into the scratch area, at -2 - start; -1 is "none". */
const SCRATCH_BASE = -2;
const NO_SPAN = -1;
/** In place of an offset: the message is not well-formed, and the scan ends. Cheaper than to throw, for what is usual. */
const REFUSED = -1;

export type ScanVerdict = 'readable' | 'XML_FORBIDDEN' | 'XML_INVALID';

/** A broken rule of the XSD. Offsets are into the bytes that were scanned. */
export interface Finding extends RuleMessage {
  /** Where the element that it is about begins (its `<`). */
  readonly elementAt: number;
  /** Where a person should look. */
  readonly at: number;
}

/** What a table and its wanted fields are found by. */
export interface DefinitionSource {
  /** Null: not compiled; the message is then only checked for being well-formed. */
  open(definitionId: string): { readonly table: SchemaTable; readonly plan: CapturePlan | null } | null;
}

/** The definition that was met last: the next message is nearly always of the same. */
interface OpenedDefinition {
  readonly id: Uint8Array;
  readonly text: string;
  readonly opened: ReturnType<DefinitionSource['open']>;
}

/**
 * All that comes before the content of a root Document: declaration, white space, start tag. The same bytes mean the same,
 * so they are compared rather than read again. Offsets are from the message's start.
 */
interface MessageHead extends PackedBytes {
  readonly opened: NonNullable<ReturnType<DefinitionSource['open']>>;
  readonly definitionId: string;
  readonly asciiOnly: boolean;
  readonly nameStart: number;
  readonly nameLength: number;
  readonly localStart: number;
  readonly ownUri: number;
  readonly ownUriLength: number;
  /** Columns: prefix, its length, URI, its length, whether it is the own one, the hashes of URI and prefix. */
  readonly bindings: Int32Array;
}

export interface ScannerOptions {
  /** True: go on after a broken rule and collect all. False: the first is enough. */
  readonly allFindings: boolean;
  /** True: an AppHdr whose definition is known is held against its XSD, too. */
  readonly headers: boolean;
  /** With `allFindings`: no more than this many. */
  readonly findingsMax?: number;
}

/** Ends a scan that cannot go on; the scanner's fields say why. One object for all: a stack trace would cost more. */
const stopped = new Error('scan stopped');

/** One for each thread, used again for each message. What a scan found is valid until the next one. */
export class MessageScanner {
  /** Message definition of the Document, or '' where none was found. */
  definitionId = '';
  /** Message definitions of the headers beside it. */
  headerIds: string[] = [];
  plan: CapturePlan | null = null;
  /** Whether the Document's definition has a compiled table. */
  validated = false;
  findings: Finding[] = [];
  /** Why the message cannot be read, and where. */
  reason = '';
  reasonAt = 0;

  /** Rows of noted places: pairs of start and length. The message's row comes first. */
  spans = new Int32Array(1024);
  transactionCount = 0;
  transactionRow = new Int32Array(64);
  /** Row of the block that each transaction is in. */
  transactionBlock = new Int32Array(64);
  blockCount = 0;
  blockRow = new Int32Array(8);
  /** Transactions of each block. */
  blockTransactions = new Int32Array(8);
  scratch = new Uint8Array(1024);

  #verdict: ScanVerdict = 'readable';
  readonly #path = new ElementPath();
  /** More than one rule is broken (or one that cannot be stepped over), and the first finding is enough. */
  #isHopeless = false;
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #end = 0;
  readonly #definitions: DefinitionSource;
  readonly #options: ScannerOptions;
  #table: SchemaTable | null = null;
  #asciiOnly = false;

  // Open elements, by depth; entry 0 stands for the outside.
  #depth = 0;
  readonly #nameStart = new Int32Array(depthMax + 2);
  readonly #nameLength = new Int32Array(depthMax + 2);
  readonly #localStart = new Int32Array(depthMax + 2);
  readonly #bindingMark = new Int32Array(depthMax + 2);
  readonly #state = new Int32Array(depthMax + 2);
  readonly #type = new Int32Array(depthMax + 2);
  readonly #node = new Int32Array(depthMax + 2);
  /** See `MarkupRuns`; -1 where the way here is not one that it knows. */
  readonly #place = new Int32Array(depthMax + 2);

  // What the markup since the last value did, while it is being remembered.
  readonly #runsByTable = new WeakMap<SchemaTable, MarkupRuns>();
  readonly #events = new Int32Array(eventsMax * eventColumns);
  #eventCount = 0;
  #usualAt = 0;
  readonly #heads: MessageHead[] = [];
  #start = 0;
  #headKnown = false;
  #walkOpaque = false;

  // The start tag that was read last.
  #selfClosed = false;
  #declared = false;
  #namespace = -1;
  #attributeCount = 0;
  readonly #attributeName = new Int32Array(attributesMax);
  readonly #attributeNameLength = new Int32Array(attributesMax);
  readonly #attributePrefixLength = new Int32Array(attributesMax);
  readonly #attributeValue = new Int32Array(attributesMax);
  readonly #attributeValueLength = new Int32Array(attributesMax);
  /** Of the name as written, and of the local name with its namespace. */
  readonly #attributeHash = new Int32Array(attributesMax);
  readonly #attributeExpandedHash = new Int32Array(attributesMax);
  readonly #attributeBinding = new Int32Array(attributesMax);

  // Namespace bindings in scope, innermost last. URIs are spans.
  #bindings = 0;
  readonly #bindingPrefix = new Int32Array(bindingsMax);
  readonly #bindingPrefixLength = new Int32Array(bindingsMax);
  readonly #bindingUri = new Int32Array(bindingsMax);
  readonly #bindingUriLength = new Int32Array(bindingsMax);
  readonly #bindingIsOwn = new Uint8Array(bindingsMax);
  readonly #bindingHash = new Int32Array(bindingsMax);
  readonly #bindingUriHash = new Int32Array(bindingsMax);
  /** What the last lookup found, and how many bindings there were; -1: nothing that still holds. */
  #lookedUp = 0;
  #lookedUpAmong = -1;

  // The Document (or header) that the tables are walked for.
  #ownUri = 0;
  #ownUriLength = -1;
  #ownPrefix = 0;
  #ownPrefixLength = 0;
  /** The own prefix still means the own namespace here. */
  #ownInForce = false;
  #documentSeen = false;
  #bodyDepth = 0;

  // The value that was read last.
  #value = 0;
  #valueLength = 0;
  #valueCharacters = 0;
  #valueMarked = false;
  #prefixLength = -1;
  #codePoint = 0;

  #scratchLength = 0;
  #spanTop = 0;
  readonly #scopeRow = new Int32Array(3);
  #openDefinition: OpenedDefinition | null = null;

  constructor(definitions: DefinitionSource, options: ScannerOptions) {
    this.#definitions = definitions;
    this.#options = options;
  }

  /** Scans the message in [start, end) of the bytes. Takes time linear in its size, whatever it holds. */
  scan(bytes: Uint8Array, start: number, end: number): ScanVerdict {
    if (this.#bytes !== bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.#end = end;
    this.#verdict = 'readable';
    this.#depth = this.#bindings = this.#scratchLength = this.#spanTop = 0;
    this.#documentSeen = this.#asciiOnly = this.#ownInForce = this.validated = false;
    this.#ownUriLength = -1;
    this.#isHopeless = false;
    this.#lookedUpAmong = -1;
    this.#bindingMark[0] = 0;
    this.definitionId = this.reason = '';
    if (this.findings.length > 0) this.findings = [];
    if (this.headerIds.length > 0) this.headerIds = [];
    this.plan = null;
    this.transactionCount = this.blockCount = 0;
    try {
      this.#message(start);
    } catch (error) {
      if (error !== stopped) throw error;
    }
    return this.#verdict;
  }

  /** XPath of the first finding's element; null where siblings would have to be counted. */
  findingPath(): string | null {
    return this.#isHopeless ? null : this.#path.text(this);
  }

  /** The bytes that a span points into begin here. */
  spanBytes(start: number): Uint8Array {
    return start >= 0 ? this.#bytes : this.scratch;
  }

  /** Where in those bytes. */
  spanStart(start: number): number {
    return start >= 0 ? start : SCRATCH_BASE - start;
  }

  #message(start: number): void {
    const bytes = this.#bytes;
    const end = this.#end;
    this.#start = start;
    const head = this.#findHead(start);
    this.#headKnown = head !== null;
    let at = head === null ? this.#prolog(start) : this.#replayHead(head, start);
    let rootSeen = head !== null;
    for (;;) {
      if (at < 0) return;
      while (at < end && isXmlSpace(bytes[at]!)) at++;
      if (at >= end) break;
      if (bytes[at] !== LESS) this.#invalid('text outside of the root element', at);
      const mark = bytes[at + 1];
      if (at + 1 < end && (mark === BANG || mark === QUESTION)) at = this.#markup(at, false);
      else if (rootSeen) this.#invalid('a second root element', at);
      else {
        rootSeen = true;
        at = this.#element(at, WALK_ENVELOPE);
      }
    }
    if (!rootSeen) this.#invalid('no root element', at);
    if (!this.#documentSeen && this.headerIds.length === 0) this.#invalid('no ISO 20022 Document in it', start);
  }

  #findHead(start: number): MessageHead | null {
    for (const head of this.#heads) if (sameBytes(head, this.#view, start, this.#end)) return head;
    return null;
  }

  /** What `#prolog`, `#startTag` and `#body` did when these bytes were first met. */
  #replayHead(head: MessageHead, start: number): number {
    const { opened } = head;
    this.#depth = this.#bodyDepth = 1;
    this.#nameStart[1] = start + head.nameStart;
    this.#nameLength[1] = head.nameLength;
    this.#localStart[1] = start + head.localStart;
    this.#bindingMark[1] = 0;
    const { bindings } = head;
    this.#bindings = bindings.length / headBindingColumns;
    for (let i = 0, row = 0; row < bindings.length; i++, row += headBindingColumns) {
      this.#bindingPrefix[i] = start + bindings[row]!;
      this.#bindingPrefixLength[i] = bindings[row + 1]!;
      this.#bindingUri[i] = start + bindings[row + 2]!;
      this.#bindingUriLength[i] = bindings[row + 3]!;
      this.#bindingUriHash[i] = bindings[row + 5]!;
      this.#bindingHash[i] = bindings[row + 6]!;
      this.#bindingIsOwn[i] = bindings[row + 4]!;
    }
    this.#ownUri = start + head.ownUri;
    this.#ownUriLength = head.ownUriLength;
    this.#ownPrefix = start + head.nameStart;
    this.#ownPrefixLength = head.localStart - head.nameStart;
    this.#ownInForce = this.#documentSeen = this.validated = true;
    this.#asciiOnly = head.asciiOnly;
    this.#selfClosed = false;
    this.#attributeCount = 0;
    this.definitionId = head.definitionId;
    this.plan = opened.plan;
    this.#table = opened.table;
    if (opened.plan !== null) this.#beginRow(0, opened.plan.widths[0]);
    const at = this.#scanBody(start + head.length, opened.plan);
    this.#ownUriLength = -1;
    this.#ownInForce = false;
    return at;
  }

  /** Called where the content of a Document begins that is the root, and of which nothing was wrong so far. */
  #rememberHead(contentAt: number): void {
    const start = this.#start;
    const opened = this.#openDefinition?.opened ?? null;
    if (opened === null) return;
    const bindings = new Int32Array(this.#bindings * headBindingColumns);
    for (let i = 0, row = 0; row < bindings.length; i++, row += headBindingColumns) {
      if (this.#bindingUri[i]! < 0) return;
      bindings[row] = this.#bindingPrefix[i]! - start;
      bindings[row + 1] = this.#bindingPrefixLength[i]!;
      bindings[row + 2] = this.#bindingUri[i]! - start;
      bindings[row + 3] = this.#bindingUriLength[i]!;
      bindings[row + 4] = this.#bindingIsOwn[i]!;
      bindings[row + 5] = this.#bindingUriHash[i]!;
      bindings[row + 6] = this.#bindingHash[i]!;
    }
    const packed = contentAt - start > headBytesMax ? null : packBytes(this.#view, start, contentAt);
    if (packed === null) return;
    if (this.#heads.length === headsMax) this.#heads.shift();
    this.#heads.push({
      ...packed,
      opened,
      definitionId: this.definitionId,
      asciiOnly: this.#asciiOnly,
      nameStart: this.#nameStart[1]! - start,
      nameLength: this.#nameLength[1]!,
      localStart: this.#localStart[1]! - start,
      ownUri: this.#ownUri - start,
      ownUriLength: this.#ownUriLength,
      bindings,
    });
  }

  /** One whole element from its start tag to its end tag, without tables unless it is a Document. */
  #element(start: number, walk: number): number {
    const at = this.#startTag(start);
    const depth = this.#depth;
    if (walk !== WALK_OPAQUE && this.#isIso(depth, documentName)) {
      if (walk === WALK_BROKEN || this.#documentSeen) this.#invalid('more than one ISO 20022 Document', start);
      this.#documentSeen = true;
      return this.#body(at, true);
    }
    if (walk === WALK_ENVELOPE && this.#localIs(depth, headerName)) {
      if (this.#options.headers && this.#isIso(depth, headerName)) return this.#body(at, false);
      return this.#selfClosed ? this.#pop(at) : this.#walk(at, depth - 1, WALK_OPAQUE);
    }
    if (this.#selfClosed) return this.#pop(at);
    return this.#walk(at, depth - 1, walk);
  }

  /** Goes on without tables until the element below depth `floor` is closed. */
  #walk(start: number, floor: number, mode: number): number {
    const bytes = this.#bytes;
    const end = this.#end;
    // Inside an opaque part of a broken Document, the depth at which it ends.
    let opaqueFloor = mode === WALK_OPAQUE ? floor : mode === WALK_BROKEN ? this.#opaqueDepth() - 1 : -1;
    let at = start;
    for (;;) {
      at = this.#skipText(at);
      const mark = at + 1 < end ? bytes[at + 1]! : 0;
      if (mark === SLASH) {
        const depth = this.#depth;
        const from = this.#nameStart[depth]!;
        const length = this.#nameLength[depth]!;
        let i = 0;
        while (i < length && bytes[at + 2 + i] === bytes[from + i]) i++;
        if (i === length && at + 2 + i < end && bytes[at + 2 + i] === GREATER) at = this.#pop(at + 3 + i);
        else at = this.#endTag(at);
        if (this.#depth === floor || at < 0) return at;
        if (this.#depth <= opaqueFloor) opaqueFloor = -1;
      } else if (mode !== WALK_ENVELOPE && nameClass[mark] === NAME_START && this.#depth < depthMax) {
        // A plain start tag needs no more than to be remembered, unless its name is one that is looked out for.
        let nameEnd = at + 2;
        while (nameEnd < end && (nameClass[bytes[nameEnd]!]! & NAME_START) !== 0) nameEnd++;
        const length = nameEnd - at - 1;
        if (nameEnd + 1 < end && bytes[nameEnd] === SLASH && bytes[nameEnd + 1] === GREATER && (opaqueFloor >= 0 || !isLookedOutFor(mark, length))) {
          at = nameEnd + 2;
        } else if (nameEnd < end && bytes[nameEnd] === GREATER && (opaqueFloor >= 0 || !isLookedOutFor(mark, length))) {
          const depth = ++this.#depth;
          this.#nameStart[depth] = this.#localStart[depth] = at + 1;
          this.#nameLength[depth] = length;
          this.#bindingMark[depth] = this.#bindings;
          at = nameEnd + 1;
        } else {
          at = this.#walkStartTag(at, opaqueFloor >= 0);
          if (this.#walkOpaque) opaqueFloor = this.#depth - 1;
        }
      } else if (mark === BANG || mark === QUESTION) at = this.#markup(at, true);
      else if (mode === WALK_ENVELOPE) {
        at = this.#element(at, mode);
        if (at < 0) return at;
      }
      else {
        at = this.#walkStartTag(at, opaqueFloor >= 0);
        if (this.#walkOpaque) opaqueFloor = this.#depth - 1;
      }
    }
  }

  /** A start tag of a part that has no tables, by the book. Says in `#walkOpaque` whether an opaque part begins with it. */
  #walkStartTag(start: number, isOpaque: boolean): number {
    let at = this.#startTag(start);
    const depth = this.#depth;
    this.#walkOpaque = false;
    if (!isOpaque && this.#isIso(depth, documentName)) this.#invalid('more than one ISO 20022 Document', start);
    if (this.#selfClosed) return this.#pop(at);
    if (isOpaque) return at;
    if (this.#isOwn() && this.#localIs(depth, opaqueName)) this.#walkOpaque = true;
    else if (depth === this.#bodyDepth + 3 && this.#localIs(depth, messageIdName)) at = this.#noteMessageId(at);
    return at;
  }

  /** Depth of the supplementary data that the present element is in; -1 where it is in none. */
  #opaqueDepth(): number {
    for (let depth = this.#bodyDepth + 1; depth <= this.#depth; depth++) if (this.#localIs(depth, opaqueName)) return depth;
    return -1;
  }

  /** The message's own id is worth knowing in a broken message, too, as long as it keeps its own rule (1 to 35). */
  #noteMessageId(start: number): number {
    const plan = this.plan;
    if (plan === null || !this.#isOwn() || !this.#localIs(this.#depth - 1, groupHeaderName)) return start;
    const at = this.#readValue(start);
    if (this.#valueCharacters < 1 || this.#valueCharacters > 35 || this.#bytes[at + 1] !== SLASH) return at;
    if (this.spans[0] !== NO_SPAN) return at;
    this.spans[0] = this.#value;
    this.spans[1] = this.#valueLength;
    return at;
  }

  /** A Document or header whose start tag was read: against its table, where there is one. */
  #body(start: number, isDocument: boolean): number {
    const depth = this.#depth;
    const binding = this.#namespace;
    this.#ownUri = this.#bindingUri[binding]!;
    this.#ownUriLength = this.#bindingUriLength[binding]!;
    this.#ownPrefix = this.#nameStart[depth]!;
    this.#ownPrefixLength = this.#localStart[depth]! - this.#nameStart[depth]!;
    for (let i = 0; i < this.#bindings; i++) this.#bindingIsOwn[i] = this.#sameUri(i) ? 1 : 0;
    this.#ownInForce = true;
    this.#bodyDepth = depth;

    const { opened, text } = this.#definition();
    if (isDocument) {
      this.definitionId = text;
      this.validated = opened !== null;
      this.plan = opened?.plan ?? null;
      if (this.plan !== null) this.#beginRow(0, this.plan.widths[0]);
    } else this.headerIds.push(text);
    let at = start;
    if (opened !== null) {
      this.#table = opened.table;
      const isRoot = this.#nameIn(opened.table, depth) === opened.table.rootName;
      at = isRoot ? this.#scanBody(start, isDocument ? this.plan : null) : this.#wrongRoot(start, isDocument);
    } else if (this.#selfClosed) at = this.#pop(at);
    else at = this.#walk(at, depth - 1, isDocument ? WALK_BROKEN : WALK_OPAQUE);
    this.#ownUriLength = -1;
    this.#ownInForce = false;
    return at;
  }

  #wrongRoot(start: number, isDocument: boolean): number {
    const depth = this.#depth;
    this.#found(
      { rule: 'unexpected-element', message: 'this element is not known at the root', child: null, attribute: null },
      this.#nameStart[depth]! - 1,
    );
    return this.#selfClosed ? this.#pop(start) : this.#walk(start, depth - 1, isDocument ? WALK_BROKEN : WALK_OPAQUE);
  }

  #definition(): OpenedDefinition {
    const uriBytes = this.spanBytes(this.#ownUri);
    const from = this.spanStart(this.#ownUri) + namespacePrefix.length;
    const to = from - namespacePrefix.length + this.#ownUriLength;
    const last = this.#openDefinition;
    if (last !== null && equalBytes(uriBytes, from, to - from, last.id, 0, last.id.length)) return last;
    const id = Uint8Array.from(uriBytes.subarray(from, to));
    const text = new TextDecoder().decode(id);
    return (this.#openDefinition = { id, text, opened: this.#definitions.open(text) });
  }

  /**
   * The hot loop: walks the table over the content of the root element, whose start tag was read. It goes from value to
   * value. The markup between two is looked for among the runs that are known here; where it is not known it is walked tag
   * by tag and remembered. An element that is what it nearly always is (own prefix, known name, no attributes or just its
   * one) never leaves this function.
   */
  #scanBody(start: number, plan: CapturePlan | null): number {
    const bytes = this.#bytes;
    const view = this.#view;
    const end = this.#end;
    const table = this.#table!;
    const {
      nameStart,
      nameBytes,
      nameSlots,
      nameCount,
      hashMultiplier,
      stateBase,
      edgeState,
      edgeNext,
      edgeType,
      typeState,
      typeSimple,
      typeAttribute,
      stateAccepts,
      simpleFacets,
      automata,
      automatonClasses,
      automatonMoves,
    } = table;
    const hashShift = Math.clz32(nameSlots.length) + 1;
    const ownPrefix = this.#ownPrefix;
    const ownPrefixLength = this.#ownPrefixLength;
    const captureNext = plan?.next ?? noCaptures;
    const captureSlot = plan?.slot ?? noCaptures;
    const floor = this.#depth - 1;
    const rootType = table.rootType;

    let depth = this.#depth;
    let state = typeState[rootType]!;
    let at = start;
    this.#type[depth] = rootType;
    this.#node[depth] = plan === null ? 0 : 1;
    if (this.#attributeCount > 0 && !this.#attributesFit(rootType) && !this.#options.allFindings) {
      return this.#selfClosed ? this.#pop(at) : this.#walk(at, floor, WALK_BROKEN);
    }
    if (this.#selfClosed) {
      if (stateAccepts[state] === 0) this.#found(missingAtEnd(table, state), this.#nameStart[depth]! - 1);
      return this.#pop(at);
    }
    if (depth === 1 && !this.#headKnown && this.#documentSeen && this.findings.length === 0) this.#rememberHead(at);
    const runs = this.#runsOf(table);
    // The place behind the value that was read last, or of the root's begin; -1 where it is not known.
    let place = runs.root(bytes, ownPrefix, ownPrefixLength);
    this.#place[depth] = place;
    // What is being remembered, from where on; -1: nothing.
    let recordAt = -1;
    let recordPlace = 0;
    let recordDepthMin = 0;
    let recordsLeft = recordsPerMessageMax;
    // The value element that is open.
    let isOpen = false;
    let isStuck = false;
    let nameAt = 0;
    let nameLength = 0;

    for (;;) {
      let edge = -1;
      let child = 0;
      let contentAt = 0;
      let nextPlace = -1;
      if (place >= 0 && this.#ownInForce) {
        const run = runs.find(place, view, at, end);
        if (run !== null && floor + run.depth < depthMax) {
          depth = floor + run.depth;
          this.#applyRun(run, plan, at, floor);
          edge = run.edge;
          if (edge < 0) {
            this.#depth = floor + 1;
            return this.#pop(at + run.length);
          }
          child = run.node;
          nameAt = at + run.nameOffset;
          nameLength = run.nameLength;
          contentAt = at + run.length;
          nextPlace = run.place;
        } else if (recordsLeft > 0) {
          recordsLeft--;
          recordAt = at;
          recordPlace = place;
          recordDepthMin = depth;
          this.#eventCount = 0;
        }
      }

      if (edge < 0) {
        // Tag by tag to the next value. First the end tag of the value that was read last.
        if (isOpen) {
          let i = 0;
          while (i < nameLength && bytes[at + 2 + i] === bytes[nameAt + i]) i++;
          if (i === nameLength && at + 2 + i < end && bytes[at + 2 + i] === GREATER) at += 3 + i;
          else {
            recordAt = -1;
            this.#depth = depth + 1;
            this.#nameStart[depth + 1] = nameAt;
            this.#nameLength[depth + 1] = nameLength;
            this.#bindingMark[depth + 1] = this.#bindings;
            at = this.#endTag(at);
            if (at < 0) return at;
          }
          isOpen = false;
        }
        let node = this.#node[depth]!;
        for (;;) {
          // White space between elements; anything else is looked at more closely.
          while (at < end && (bytes[at] === SPACE || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09)) at++;
          const mark = !isStuck && at + 1 < end && bytes[at] === LESS ? bytes[at + 1]! : 0;

          if (mark === SLASH) {
            // The end tag of an element that holds elements.
            if (stateAccepts[state] === 0) {
              recordAt = -1;
              this.#depth = depth;
              this.#found(missingAtEnd(table, state), this.#nameStart[depth]! - 1, at);
              if (this.#isHopeless) return this.#walk(at, floor, WALK_BROKEN);
            }
            const from = this.#nameStart[depth]!;
            const length = this.#nameLength[depth]!;
            let i = 0;
            while (i < length && bytes[at + 2 + i] === bytes[from + i]) i++;
            if (i === length && at + 2 + i < end && bytes[at + 2 + i] === GREATER) {
              at += 3 + i;
              this.#depth = depth;
              this.#pop(at);
            } else {
              recordAt = -1;
              this.#depth = depth;
              at = this.#endTag(at);
              if (at < 0) return at;
            }
            depth = this.#depth;
            if (depth === floor) {
              if (recordAt >= 0) this.#record(runs, recordPlace, recordAt, at, recordDepthMin - floor, floor, -1, 0, 0, 0, -1);
              return at;
            }
            if (depth < recordDepthMin) recordDepthMin = depth;
            state = this.#state[depth]!;
            node = this.#node[depth]!;
            continue;
          }

          if (mark !== 0 && mark !== BANG && mark !== QUESTION && this.#ownInForce && depth < depthMax) {
            let localAt = at + 1;
            let i = 0;
            while (i < ownPrefixLength && bytes[localAt + i] === bytes[ownPrefix + i]) i++;
            localAt += i;
            if (i === ownPrefixLength) {
              let nameEnd = localAt;
              while (nameEnd < end && (nameClass[bytes[nameEnd]!]! & NAME_START) !== 0) nameEnd++;
              const length = nameEnd - localAt;
              let hash = length;
              for (let j = localAt; j < nameEnd; j++) hash = Math.imul(hash ^ bytes[j]!, hashMultiplier);
              const name = nameSlots[hash >>> hashShift]!;
              if (name >= 0) {
                const from = nameStart[name]!;
                let same = nameStart[name + 1]! - from === length;
                for (let j = 0; same && j < length; j++) same = nameBytes[from + j] === bytes[localAt + j];
                const next = stateBase[state]! + name;
                if (same && edgeState[next] === state && nameEnd < end) {
                  const type = edgeType[next]!;
                  child = node === 0 ? 0 : captureNext[node * nameCount + name]!;
                  const attribute = typeAttribute[type]!;
                  const hasAttribute = attribute !== typeAttribute[type + 1];
                  contentAt = -1;
                  if (bytes[nameEnd] === GREATER) contentAt = hasAttribute ? -1 : nameEnd + 1;
                  else if (hasAttribute && bytes[nameEnd] === SPACE && attribute + 1 === typeAttribute[type + 1]) {
                    contentAt = this.#usualAttribute(table, attribute, nameEnd + 1);
                  }
                  if (contentAt >= 0) {
                    nameAt = at + 1;
                    nameLength = nameEnd - nameAt;
                    if (typeSimple[type]! >= 0) {
                      edge = next;
                      if (hasAttribute && child !== 0 && plan!.attributeSlot[child]! >= 0) {
                        const valueAt = this.#usualAt;
                        const valueLength = contentAt - 2 - valueAt;
                        this.#note(plan!.scope[child]!, plan!.attributeSlot[child]!, valueAt, valueLength);
                        if (recordAt >= 0) this.#recordEvent(child, plan!.attributeSlot[child]!, valueAt - recordAt, valueLength);
                      }
                      break;
                    }
                    // An element that holds elements.
                    this.#state[depth] = edgeNext[next]!;
                    const from = this.#place[depth]!;
                    depth++;
                    this.#place[depth] = from < 0 ? -1 : runs.place(from, next);
                    this.#nameStart[depth] = nameAt;
                    this.#nameLength[depth] = nameLength;
                    this.#localStart[depth] = localAt;
                    this.#bindingMark[depth] = this.#bindings;
                    this.#type[depth] = type;
                    this.#node[depth] = child;
                    state = typeState[type]!;
                    if (child !== 0) {
                      const slot = captureSlot[child]!;
                      if (plan!.begins[child] === 1) {
                        this.#beginScope(plan!, child);
                        if (recordAt >= 0) this.#recordEvent(child, -1, 0, 0);
                      }
                      if (slot >= 0) {
                        this.#note(plan!.scope[child]!, slot, at, 0);
                        if (recordAt >= 0) this.#recordEvent(child, slot, at - recordAt, 0);
                      }
                    }
                    node = child;
                    at = contentAt;
                    continue;
                  }
                }
              }
            }
          }

          // All that is out of the ordinary, broken rules included.
          isStuck = false;
          recordAt = -1;
          this.#depth = depth;
          this.#state[depth] = state;
          at = this.#unusual(at, plan);
          if (at < 0) return at;
          if (this.#isHopeless) return this.#walkOn(at, floor);
          depth = this.#depth;
          state = this.#state[depth]!;
          node = this.#node[depth]!;
        }

        const from = this.#place[depth]!;
        nextPlace = from < 0 ? -1 : runs.place(from, edge);
        if (recordAt >= 0 && nextPlace >= 0 && this.#eventCount <= eventsMax) {
          this.#record(runs, recordPlace, recordAt, contentAt, recordDepthMin - floor, floor, edge, child, nameAt, nameLength, nextPlace, depth);
        }
        recordAt = -1;
      }

      // The value.
      const simple = typeSimple[edgeType[edge]!]!;
      const row = simple * facetColumns;
      const kind = simpleFacets[row + FACET_KIND]!;
      const automaton = simpleFacets[row + FACET_AUTOMATON]!;
      let valueStart = contentAt;
      let valueEnd = contentAt;
      let valueLength: number;
      let characters: number;
      let isGood: boolean;
      if (kind === 0 && automaton >= 0) {
        const machine = automaton * automatonColumns;
        const classes = automata[machine + AUTOMATON_CLASSES]!;
        const moves = automata[machine + AUTOMATON_MOVES]!;
        let move = automata[machine + AUTOMATON_WIDTH]!;
        while (valueEnd < end && bytes[valueEnd] !== LESS && move !== 0) {
          move = automatonMoves[moves + move + automatonClasses[classes + bytes[valueEnd]!]!]!;
          valueEnd++;
        }
        valueLength = characters = valueEnd - valueStart;
        // A pattern of which any character is a part would let through what XML does not.
        isGood =
          move !== 0 &&
          automatonMoves[moves + move] === 1 &&
          automatonClasses[classes] === 1 &&
          valueLength >= simpleFacets[row + FACET_LENGTH_MIN]! &&
          (simpleFacets[row + FACET_LENGTH_MAX]! < 0 || valueLength <= simpleFacets[row + FACET_LENGTH_MAX]!);
      } else {
        while (valueEnd < end && textClass[bytes[valueEnd]!] === TEXT_PLAIN) valueEnd++;
        valueLength = characters = valueEnd - valueStart;
        while (valueEnd < end && textClass[bytes[valueEnd]!] === TEXT_BEYOND_ASCII) {
          // Names are not all ASCII.
          valueEnd = this.#character(valueEnd);
          characters++;
          const from = valueEnd;
          while (valueEnd < end && textClass[bytes[valueEnd]!] === TEXT_PLAIN) valueEnd++;
          characters += valueEnd - from;
          valueLength = valueEnd - valueStart;
        }
        if (kind === 0) {
          isGood =
            characters >= simpleFacets[row + FACET_LENGTH_MIN]! &&
            (simpleFacets[row + FACET_LENGTH_MAX]! < 0 || characters <= simpleFacets[row + FACET_LENGTH_MAX]!);
        } else isGood = brokenRule(table, simple, bytes, valueStart, valueEnd, characters) === 0;
      }
      const isWhole = valueEnd + 1 < end && bytes[valueEnd] === LESS && bytes[valueEnd + 1] === SLASH;
      if (!isWhole) {
        // References, CDATA, comments, or what a pattern did not accept.
        valueEnd = this.#readValue(contentAt);
        valueStart = this.#value;
        valueLength = this.#valueLength;
        characters = this.#valueCharacters;
        const from = this.spanStart(valueStart);
        isGood =
          bytes[valueEnd + 1] === SLASH &&
          brokenRule(table, simple, this.spanBytes(valueStart), from, from + valueLength, characters) === 0;
      }
      if (isGood) {
        if (child !== 0 && captureSlot[child]! >= 0) this.#note(plan!.scope[child]!, captureSlot[child]!, valueStart, valueLength);
        state = edgeNext[edge]!;
        place = nextPlace;
        at = valueEnd;
        isOpen = true;
      } else if (bytes[valueEnd + 1] === SLASH) {
        const type = edgeType[edge]!;
        this.#depth = depth + 1;
        this.#nameStart[depth + 1] = nameAt;
        this.#nameLength[depth + 1] = nameLength;
        this.#localStart[depth + 1] = nameAt + ownPrefixLength;
        this.#bindingMark[depth + 1] = this.#bindings;
        this.#node[depth + 1] = child;
        this.#brokenValue(table, simple, type, valueStart, valueLength, characters, nameAt - 1, contentAt);
        at = this.#endTag(valueEnd);
        if (at < 0) return at;
        if (this.#isHopeless) return this.#walkOn(at, floor);
        state = edgeNext[edge]!;
        place = -1;
        isOpen = false;
      } else {
        // An element inside of a value: once more, by the book.
        state = edgeState[edge]!;
        place = -1;
        at = nameAt - 1;
        isOpen = false;
        isStuck = true;
      }
    }
  }

  #applyRun(run: MarkupRun, plan: CapturePlan | null, at: number, floor: number): void {
    const levels = run.levels;
    let depth = floor + run.depthMin;
    if (levels.length > 0) this.#state[depth] = levels[LEVEL_STATE]!;
    for (let row = levelColumns; row < levels.length; row += levelColumns) {
      depth++;
      this.#state[depth] = levels[row + LEVEL_STATE]!;
      this.#type[depth] = levels[row + LEVEL_TYPE]!;
      this.#node[depth] = levels[row + LEVEL_NODE]!;
      this.#place[depth] = levels[row + LEVEL_PLACE]!;
      this.#nameStart[depth] = at + levels[row + LEVEL_NAME]!;
      this.#nameLength[depth] = levels[row + LEVEL_NAME_LENGTH]!;
      this.#localStart[depth] = at + levels[row + LEVEL_LOCAL]!;
      this.#bindingMark[depth] = this.#bindings;
    }
    const events = run.events;
    for (let row = 0; row < events.length; row += eventColumns) {
      const node = events[row + EVENT_NODE]!;
      const slot = events[row + EVENT_SLOT]!;
      if (slot < 0) this.#beginScope(plan!, node);
      else this.#note(plan!.scope[node]!, slot, at + events[row + EVENT_OFFSET]!, events[row + EVENT_LENGTH]!);
    }
  }

  #recordEvent(node: number, slot: number, offset: number, length: number): void {
    const count = this.#eventCount++;
    if (count >= eventsMax) return;
    const row = count * eventColumns;
    this.#events[row + EVENT_NODE] = node;
    this.#events[row + EVENT_SLOT] = slot;
    this.#events[row + EVENT_OFFSET] = offset;
    this.#events[row + EVENT_LENGTH] = length;
  }

  /** Remembers what the bytes [start, stop) did, from `place` on. `edge` -1: the root ended. */
  #record(
    runs: MarkupRuns,
    from: number,
    start: number,
    stop: number,
    depthMin: number,
    floor: number,
    edge: number,
    node: number,
    nameAt: number,
    nameLength: number,
    place: number,
    depth = floor,
  ): void {
    const packed = packBytes(this.#view, start, stop);
    if (packed === null) return;
    const first = floor + depthMin;
    const levels = new Int32Array(depth > first ? (depth - first + 1) * levelColumns : 0);
    for (let level = first, row = 0; row < levels.length; level++, row += levelColumns) {
      levels[row + LEVEL_STATE] = this.#state[level]!;
      levels[row + LEVEL_TYPE] = this.#type[level]!;
      levels[row + LEVEL_NODE] = this.#node[level]!;
      levels[row + LEVEL_PLACE] = this.#place[level]!;
      levels[row + LEVEL_NAME] = this.#nameStart[level]! - start;
      levels[row + LEVEL_NAME_LENGTH] = this.#nameLength[level]!;
      levels[row + LEVEL_LOCAL] = this.#localStart[level]! - start;
    }
    runs.add(from, {
      ...packed,
      depthMin,
      depth: depth - floor,
      levels,
      events: this.#events.slice(0, Math.min(this.#eventCount, eventsMax) * eventColumns),
      edge,
      node,
      nameOffset: nameAt - start,
      nameLength,
      place,
    });
  }

  #runsOf(table: SchemaTable): MarkupRuns {
    let runs = this.#runsByTable.get(table);
    if (runs === undefined) {
      runs = new MarkupRuns(table.edgeState.length);
      this.#runsByTable.set(table, runs);
    }
    runs.tidy();
    return runs;
  }

  /**
   * The one attribute that its type has, as everybody writes it: `Ccy="EUR">`. Gives where the content begins, -1 where it
   * is written in another way or breaks a rule.
   */
  #usualAttribute(table: SchemaTable, attribute: number, start: number): number {
    const bytes = this.#bytes;
    const end = this.#end;
    const { nameStart, nameBytes } = table;
    const name = table.attributeName[attribute]!;
    const from = nameStart[name]!;
    const length = nameStart[name + 1]! - from;
    let i = 0;
    while (i < length && bytes[start + i] === nameBytes[from + i]) i++;
    const equals = start + i;
    if (i < length || bytes[equals] !== EQUALS || bytes[equals + 1] !== QUOTE) return -1;
    const valueAt = equals + 2;
    let quote = valueAt;
    while (quote < end && textClass[bytes[quote]!] === TEXT_PLAIN && bytes[quote]! > SPACE && bytes[quote] !== QUOTE) quote++;
    if (quote + 1 >= end || bytes[quote] !== QUOTE || bytes[quote + 1] !== GREATER) return -1;
    if (brokenRule(table, table.attributeSimple[attribute]!, bytes, valueAt, quote, quote - valueAt) !== 0) return -1;
    this.#usualAt = valueAt;
    return quote + 2;
  }

  #walkOn(at: number, floor: number): number {
    return this.#depth === floor ? at : this.#walk(at, floor, WALK_BROKEN);
  }

  /**
   * One step at the present place, by the book: text, markup, or a start tag with all that it can have. A value element is
   * read whole; an element that holds elements is left open, its state ready.
   */
  #unusual(start: number, plan: CapturePlan | null): number {
    const bytes = this.#bytes;
    const end = this.#end;
    if (start >= end) this.#invalid('the message ends inside of an element', start);
    if (bytes[start] !== LESS) return this.#strayText(start);
    const mark = start + 1 < end ? bytes[start + 1]! : 0;
    if (mark === BANG || mark === QUESTION) {
      const isData = mark === BANG && start + 2 < end && bytes[start + 2] === 0x5b;
      const at = this.#markup(start, true);
      if (isData) this.#found(strayText(), this.#nameStart[this.#depth]! - 1, start);
      return at;
    }
    const table = this.#table!;
    const parent = this.#depth;
    const state = this.#state[parent]!;
    let at = this.#startTag(start);
    const depth = this.#depth;
    const isOwn = this.#isOwn();
    const name = isOwn ? this.#nameIn(table, depth) : -1;
    const edge = name < 0 ? -1 : table.stateBase[state]! + name;

    if (edge < 0 || table.edgeState[edge] !== state) {
      if (this.#isIso(depth, documentName) && table.stateWildcard[state]! < 0 && this.#opaqueDepth() < 0) {
        this.#invalid('more than one ISO 20022 Document', start);
      }
      if (table.stateWildcard[state]! >= 0 && this.#wildcardAdmits(table, state)) {
        this.#state[parent] = table.stateWildcardNext[state]!;
        return this.#selfClosed ? this.#pop(at) : this.#walk(at, parent, WALK_OPAQUE);
      }
      const spelled = name >= 0 ? namesOf(table)[name]! : this.#decode(this.#localStart[depth]!, this.#localEnd(depth));
      const verdict = unexpectedElement(table, this.#type[parent]!, state, name, spelled, isOwn);
      const isMissing = verdict.message.rule === 'missing-element';
      this.#found(verdict.message, isMissing ? this.#nameStart[parent]! - 1 : start, start);
      if (!this.#options.allFindings && verdict.resumeEdge >= 0 && !verdict.advances) this.#isHopeless = true;
      if (this.#isHopeless) {
        if (this.#selfClosed) return this.#pop(at);
        return isOwn && depth === this.#bodyDepth + 3 && this.#localIs(depth, messageIdName) ? this.#noteMessageId(at) : at;
      }
      if (verdict.resumeEdge < 0) return this.#selfClosed ? this.#pop(at) : this.#walk(at, parent, WALK_BROKEN);
      if (verdict.advances) this.#state[parent] = table.edgeNext[verdict.resumeEdge]!;
      return this.#open(at, start, verdict.resumeEdge, name, plan);
    }
    this.#state[parent] = table.edgeNext[edge]!;
    at = this.#open(at, start, edge, name, plan);
    return at;
  }

  /** The element's start tag fits; now its attributes and, of a value element, the value and the end tag. */
  #open(start: number, elementAt: number, edge: number, name: number, plan: CapturePlan | null): number {
    const table = this.#table!;
    const depth = this.#depth;
    const type = table.edgeType[edge]!;
    const parentNode = this.#node[depth - 1]!;
    const child = parentNode === 0 ? 0 : plan!.next[parentNode * table.nameCount + name]!;
    this.#type[depth] = type;
    this.#node[depth] = child;
    this.#place[depth] = -1;
    const selfClosed = this.#selfClosed;
    const needsAttributes = this.#attributeCount > 0 || table.typeAttribute[type] !== table.typeAttribute[type + 1];
    if (needsAttributes && !this.#attributesFit(type) && this.#isHopeless) return selfClosed ? this.#pop(start) : start;

    const simple = table.typeSimple[type]!;
    if (simple < 0) {
      const state = table.typeState[type]!;
      this.#state[depth] = state;
      if (child !== 0) {
        if (plan!.begins[child] === 1) this.#beginScope(plan!, child);
        if (plan!.slot[child]! >= 0) this.#note(plan!.scope[child]!, plan!.slot[child]!, elementAt, 0);
      }
      if (!selfClosed) return start;
      if (table.stateAccepts[state] === 0) this.#found(missingAtEnd(table, state), elementAt);
      return this.#pop(start);
    }

    const attributeSlot = child === 0 ? -1 : plan!.attributeSlot[child]!;
    if (attributeSlot >= 0) this.#noteAttribute(plan!.scope[child]!, attributeSlot);
    let at = start;
    if (selfClosed) {
      this.#value = start;
      this.#valueLength = this.#valueCharacters = 0;
    } else {
      at = this.#readValue(start);
      if (this.#bytes[at + 1] !== SLASH) {
        this.#found(
          {
            rule: 'unexpected-element',
            message: 'an element inside of a value',
            child: null,
            attribute: null,
          },
          elementAt,
          at,
        );
        // In a message that is broken twice the walk without tables takes over from here.
        if (this.#isHopeless) return at;
        return this.#walk(at, depth - 1, WALK_BROKEN);
      }
    }
    const isBroken = this.#brokenValue(table, simple, type, this.#value, this.#valueLength, this.#valueCharacters, elementAt, start);
    if (!isBroken && child !== 0 && plan!.slot[child]! >= 0) {
      this.#note(plan!.scope[child]!, plan!.slot[child]!, this.#value, this.#valueLength);
    }
    return selfClosed ? this.#pop(at) : this.#endTag(at);
  }

  /** Holds a value against its rules; what is broken is found. `value`: a span. */
  #brokenValue(
    table: SchemaTable,
    simple: number,
    type: number,
    value: number,
    length: number,
    characters: number,
    elementAt: number,
    at: number,
  ): boolean {
    const bytes = this.spanBytes(value);
    const start = this.spanStart(value);
    const broken = brokenRule(table, simple, bytes, start, start + length, characters);
    if (broken === 0) return false;
    const text = this.#decodeFrom(bytes, start, Math.min(length, 64));
    this.#found(valueMessage(table, simple, type, broken, text, characters, null), elementAt, at);
    return true;
  }

  /** Character data where only elements may be. */
  #strayText(start: number): number {
    const at = this.#readValue(start);
    const bytes = this.spanBytes(this.#value);
    const from = this.spanStart(this.#value);
    for (let i = from; i < from + this.#valueLength; i++) {
      if (!isXmlSpace(bytes[i]!)) {
        this.#found(strayText(), this.#nameStart[this.#depth]! - 1, start);
        return at;
      }
    }
    if (this.#valueMarked) this.#found(strayText(), this.#nameStart[this.#depth]! - 1, start);
    return at;
  }

  /** Attributes of the present element against its type. False where a rule is broken. */
  #attributesFit(type: number): boolean {
    const table = this.#table!;
    const first = table.typeAttribute[type]!;
    const last = table.typeAttribute[type + 1]!;
    const elementAt = this.#nameStart[this.#depth]! - 1;
    const before = this.findings.length;
    let known = 0;
    for (let i = 0; i < this.#attributeCount; i++) {
      const start = this.#attributeName[i]!;
      const prefixLength = this.#attributePrefixLength[i]!;
      const length = this.#attributeNameLength[i]!;
      if (this.#isDeclaration(i)) continue;
      const local = prefixLength < 0 ? start : start + prefixLength + 1;
      if (prefixLength >= 0 && this.#uriIs(this.#lookup(start, prefixLength), instanceNamespace)) {
        this.#instanceAttribute(i, this.#decode(local, start + length), type, elementAt);
        continue;
      }
      let attribute = -1;
      for (let a = first; a < last && prefixLength < 0; a++) {
        const own = table.attributeName[a]!;
        const ownStart = table.nameStart[own]!;
        if (equalBytes(this.#bytes, start, length, table.nameBytes, ownStart, table.nameStart[own + 1]! - ownStart)) attribute = a;
      }
      if (attribute < 0) {
        this.#found(unexpectedAttribute(this.#decode(start, start + Math.min(length, 64))), elementAt, start);
        continue;
      }
      known |= 1 << (attribute - first);
      const bytes = this.spanBytes(this.#attributeValue[i]!);
      const from = this.spanStart(this.#attributeValue[i]!);
      const to = from + this.#attributeValueLength[i]!;
      const characters = countCharacters(bytes, from, to);
      const simple = table.attributeSimple[attribute]!;
      const broken = brokenRule(table, simple, bytes, from, to, characters);
      if (broken !== 0) {
        const text = this.#decodeFrom(bytes, from, Math.min(to - from, 64));
        const own = this.#decode(start, start + length);
        this.#found(valueMessage(table, simple, -1, broken, text, characters, own), elementAt, start);
      }
    }
    for (let a = first; a < last; a++) {
      if (table.attributeRequired[a] === 1 && (known & (1 << (a - first))) === 0) {
        this.#found(missingAttribute(table, table.attributeName[a]!), elementAt);
      }
    }
    return this.findings.length === before;
  }

  /** The attributes that XML Schema lets stand on any element, as far as ISO 20022's types allow them. */
  #instanceAttribute(index: number, local: string, type: number, elementAt: number): void {
    const start = this.#attributeName[index]!;
    if (local === 'schemaLocation' || local === 'noNamespaceSchemaLocation') return;
    if (local === 'nil') this.#found(nilled(), elementAt, start);
    else if (local === 'type') {
      const bytes = this.spanBytes(this.#attributeValue[index]!);
      let from = this.spanStart(this.#attributeValue[index]!);
      let to = from + this.#attributeValueLength[index]!;
      while (from < to && isXmlSpace(bytes[from]!)) from++;
      while (to > from && isXmlSpace(bytes[to - 1]!)) to--;
      let colon = from;
      while (colon < to && bytes[colon] !== COLON) colon++;
      const prefixLength = colon < to ? colon - from : 0;
      const binding = this.#lookupIn(bytes, from, prefixLength);
      const own = binding >= 0 && this.#bindingIsOwn[binding] === 1;
      const named = this.#decodeFrom(bytes, colon < to ? colon + 1 : from, to - (colon < to ? colon + 1 : from));
      if (!own || this.#table!.readTexts().typeNames[type] !== named) this.#found(otherType(), elementAt, start);
    } else this.#found(unexpectedAttribute(`xsi:${local}`), elementAt, start);
  }

  #wildcardAdmits(table: SchemaTable, state: number): boolean {
    const wanted = table.readTexts().wildcardNamespaces[table.stateWildcard[state]!]!;
    return wanted === '##any' || this.#uriIs(this.#namespace, ascii(wanted));
  }

  #found(message: RuleMessage, elementAt: number, at = elementAt): void {
    if (this.#options.allFindings) {
      if (this.findings.length < (this.#options.findingsMax ?? 1000)) this.findings.push({ ...message, elementAt, at });
    } else if (this.findings.length > 0) this.#isHopeless = true;
    else {
      this.findings.push({ ...message, elementAt, at });
      this.#keepPath(message, elementAt);
    }
  }

  /** The way to an open element, while it is open. */
  #keepPath(message: RuleMessage, elementAt: number): void {
    const path = this.#path;
    path.clear();
    const table = this.#table;
    // An element that fits nowhere may have siblings of its name anywhere, and so may a Document in a wrapper.
    if (table === null || message.rule === 'unexpected-element' || this.#bodyDepth !== 1) return;
    path.begin(table, this);
    let depth = 1;
    for (; this.#nameStart[depth] !== elementAt + 1; depth++) {
      if (depth === this.#depth) {
        path.clear();
        return;
      }
      path.add(this.#type[depth]!, this.#nameIn(table, depth + 1), this.#node[depth + 1]!, this.plan);
    }
    // Attributes are looked at before the element begins its row.
    if (message.attribute !== null && this.plan?.begins[this.#node[depth]!] === 1) path.clear();
  }

  // Noted places.

  #beginScope(plan: CapturePlan, node: number): void {
    const scope = plan.scope[node]!;
    const row = this.#beginRow(scope, plan.widths[scope as 0 | 1 | 2]);
    if (scope === 1) {
      if (this.blockCount === this.blockRow.length) {
        this.blockRow = grown(this.blockRow);
        this.blockTransactions = grown(this.blockTransactions);
      }
      this.blockTransactions[this.blockCount] = 0;
      this.blockRow[this.blockCount++] = row;
      return;
    }
    if (this.transactionCount === this.transactionRow.length) {
      this.transactionRow = grown(this.transactionRow);
      this.transactionBlock = grown(this.transactionBlock);
    }
    this.transactionRow[this.transactionCount] = row;
    this.transactionBlock[this.transactionCount++] = this.blockCount - 1;
    if (this.blockCount > 0) this.blockTransactions[this.blockCount - 1]!++;
  }

  #beginRow(scope: number, width: number): number {
    const row = this.#spanTop;
    this.#spanTop += width * 2;
    while (this.#spanTop > this.spans.length) this.spans = grown(this.spans);
    this.spans.fill(NO_SPAN, row, this.#spanTop);
    this.#scopeRow[scope] = row;
    return row;
  }

  #note(scope: number, slot: number, start: number, length: number): void {
    const at = this.#scopeRow[scope]! + slot * 2;
    this.spans[at] = start;
    this.spans[at + 1] = length;
  }

  /** The noted attribute is the only one that its type has. */
  #noteAttribute(scope: number, slot: number): void {
    for (let i = 0; i < this.#attributeCount; i++) {
      if (this.#attributePrefixLength[i]! >= 0 || this.#isDeclaration(i)) continue;
      this.#note(scope, slot, this.#attributeValue[i]!, this.#attributeValueLength[i]!);
    }
  }

  // Names and namespaces.

  #localEnd(depth: number): number {
    return this.#nameStart[depth]! + this.#nameLength[depth]!;
  }

  #localIs(depth: number, name: Uint8Array): boolean {
    const start = this.#localStart[depth]!;
    return equalBytes(this.#bytes, start, this.#localEnd(depth) - start, name, 0, name.length);
  }

  /** The element whose start tag was read last has this local name, in a namespace of an ISO 20022 message definition. */
  #isIso(depth: number, name: Uint8Array): boolean {
    const binding = this.#namespace;
    if (binding < 0 || !this.#localIs(depth, name)) return false;
    const uri = this.#bindingUri[binding]!;
    const length = this.#bindingUriLength[binding]!;
    if (length <= namespacePrefix.length) return false;
    return equalBytes(this.spanBytes(uri), this.spanStart(uri), namespacePrefix.length, namespacePrefix, 0, namespacePrefix.length);
  }

  /** The element whose start tag was read last is in the Document's own namespace. */
  #isOwn(): boolean {
    return this.#namespace >= 0 && this.#bindingIsOwn[this.#namespace] === 1;
  }

  #nameIn(table: SchemaTable, depth: number): number {
    const start = this.#localStart[depth]!;
    const stop = this.#localEnd(depth);
    const hash = nameHash(this.#bytes, start, stop, table.hashMultiplier);
    const name = table.nameSlots[hash >>> (Math.clz32(table.nameSlots.length) + 1)]!;
    if (name < 0) return -1;
    const from = table.nameStart[name]!;
    return equalBytes(this.#bytes, start, stop - start, table.nameBytes, from, table.nameStart[name + 1]! - from) ? name : -1;
  }

  /** The binding of a prefix (length 0: the default namespace), -1 where there is none. */
  #lookup(prefix: number, length: number): number {
    return this.#lookupIn(this.#bytes, prefix, length);
  }

  #lookupIn(bytes: Uint8Array, prefix: number, length: number): number {
    const last = this.#lookedUp;
    if (this.#lookedUpAmong === this.#bindings) {
      if (equalBytes(bytes, prefix, length, this.#bytes, this.#bindingPrefix[last]!, this.#bindingPrefixLength[last]!)) {
        return this.#bindingUriLength[last] === 0 ? -1 : last;
      }
    }
    const hash = hashOf(bytes, prefix, length);
    for (let i = this.#bindings - 1; i >= 0; i--) {
      if (this.#bindingHash[i] !== hash) continue;
      if (equalBytes(bytes, prefix, length, this.#bytes, this.#bindingPrefix[i]!, this.#bindingPrefixLength[i]!)) {
        this.#lookedUp = i;
        this.#lookedUpAmong = this.#bindings;
        return this.#bindingUriLength[i] === 0 ? -1 : i;
      }
    }
    return -1;
  }

  #uriIs(binding: number, uri: Uint8Array): boolean {
    if (binding < 0) return false;
    const span = this.#bindingUri[binding]!;
    return equalBytes(this.spanBytes(span), this.spanStart(span), this.#bindingUriLength[binding]!, uri, 0, uri.length);
  }

  #sameUri(binding: number): boolean {
    const uri = this.#bindingUri[binding]!;
    if (this.#ownUriLength < 0) return false;
    return equalBytes(
      this.spanBytes(uri),
      this.spanStart(uri),
      this.#bindingUriLength[binding]!,
      this.spanBytes(this.#ownUri),
      this.spanStart(this.#ownUri),
      this.#ownUriLength,
    );
  }

  #isDeclaration(index: number): boolean {
    const prefixLength = this.#attributePrefixLength[index]!;
    return spells(this.#bytes, this.#attributeName[index]!, prefixLength < 0 ? this.#attributeNameLength[index]! : prefixLength, 'xmlns');
  }

  #declare(index: number): void {
    const start = this.#attributeName[index]!;
    const prefixLength = this.#attributePrefixLength[index]!;
    const prefix = prefixLength < 0 ? start : start + prefixLength + 1;
    const length = prefixLength < 0 ? 0 : this.#attributeNameLength[index]! - prefixLength - 1;
    const uri = this.#attributeValue[index]!;
    const uriLength = this.#attributeValueLength[index]!;
    const uriBytes = this.spanBytes(uri);
    const uriStart = this.spanStart(uri);
    const isXml = equalBytes(uriBytes, uriStart, uriLength, xmlNamespace, 0, xmlNamespace.length);
    if (spells(this.#bytes, prefix, length, 'xmlns')) this.#invalid('the prefix xmlns must not be declared', start);
    if (spells(this.#bytes, prefix, length, 'xml') !== isXml) this.#invalid('the prefix xml and its namespace belong together', start);
    if (equalBytes(uriBytes, uriStart, uriLength, xmlnsNamespace, 0, xmlnsNamespace.length)) {
      this.#invalid('the namespace of xmlns must not be declared', start);
    }
    if (length > 0 && uriLength === 0) this.#invalid('a prefix must not be bound to an empty namespace', start);
    if (isXml) return;
    if (this.#bindings === bindingsMax) this.#invalid(`more than ${bindingsMax} namespace declarations in scope`, start);
    const binding = this.#bindings++;
    this.#lookedUpAmong = -1;
    this.#bindingPrefix[binding] = prefix;
    this.#bindingPrefixLength[binding] = length;
    this.#bindingHash[binding] = hashOf(this.#bytes, prefix, length);
    this.#bindingUri[binding] = uri;
    this.#bindingUriLength[binding] = uriLength;
    this.#bindingUriHash[binding] = hashOf(uriBytes, uriStart, uriLength);
    this.#bindingIsOwn[binding] = this.#sameUri(binding) ? 1 : 0;
  }

  #refreshOwn(): void {
    if (this.#ownUriLength < 0) return;
    const length = Math.max(0, this.#ownPrefixLength - 1);
    const binding = this.#lookup(this.#ownPrefix, length);
    this.#ownInForce = binding >= 0 && this.#bindingIsOwn[binding] === 1;
  }

  // Tags.

  /** Reads a start tag by the book and opens its element. Gives where its content begins. */
  #startTag(start: number): number {
    const nameAt = start + 1;
    if (this.#depth === depthMax) this.#stop('XML_FORBIDDEN', `elements nested deeper than ${depthMax}`, start);
    const nameEnd = this.#name(nameAt, 'an element name');
    const depth = ++this.#depth;
    this.#nameStart[depth] = nameAt;
    this.#nameLength[depth] = nameEnd - nameAt;
    const prefixLength = this.#prefixLength;
    this.#localStart[depth] = prefixLength < 0 ? nameAt : nameAt + prefixLength + 1;
    this.#bindingMark[depth] = this.#bindings;
    const at = this.#attributes(nameEnd);
    if (this.#declared) this.#refreshOwn();
    this.#namespace = this.#lookup(nameAt, Math.max(0, prefixLength));
    if (prefixLength >= 0 && this.#namespace < 0 && !spells(this.#bytes, nameAt, prefixLength, 'xml')) {
      this.#invalid('the prefix of an element is not declared', start);
    }
    return at;
  }

  #attributes(start: number): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = start;
    let count = 0;
    this.#declared = false;
    for (;;) {
      const spaceAt = at;
      while (at < end && isXmlSpace(bytes[at]!)) at++;
      const mark = at < end ? bytes[at]! : 0;
      if (mark === GREATER) {
        this.#selfClosed = false;
        at++;
        break;
      }
      if (mark === SLASH) {
        if (at + 1 >= end || bytes[at + 1] !== GREATER) this.#invalid('expected "/>"', at);
        this.#selfClosed = true;
        at += 2;
        break;
      }
      if (at >= end) this.#invalid('the message ends inside of a tag', at);
      if (at === spaceAt) this.#invalid('expected white space, ">" or "/>" in a start tag', at);
      if (count === attributesMax) this.#invalid(`more than ${attributesMax} attributes in one tag`, at);
      at = this.#attribute(at, count);
      count++;
    }
    this.#attributeCount = count;
    if (count > 0) this.#resolveAttributes(count);
    return at;
  }

  #attribute(start: number, index: number): number {
    const bytes = this.#bytes;
    const end = this.#end;
    const nameEnd = this.#name(start, 'an attribute name');
    const length = nameEnd - start;
    this.#attributeName[index] = start;
    this.#attributeNameLength[index] = length;
    this.#attributePrefixLength[index] = this.#prefixLength;
    const hash = hashOf(bytes, start, length);
    this.#attributeHash[index] = hash;
    for (let i = 0; i < index; i++) {
      if (this.#attributeHash[i] !== hash) continue;
      if (equalBytes(bytes, start, length, bytes, this.#attributeName[i]!, this.#attributeNameLength[i]!)) {
        this.#invalid('an attribute twice in one tag', start);
      }
    }
    let at = nameEnd;
    while (at < end && isXmlSpace(bytes[at]!)) at++;
    if (at >= end || bytes[at] !== EQUALS) this.#invalid('expected "=" after an attribute name', at);
    at++;
    while (at < end && isXmlSpace(bytes[at]!)) at++;
    const quote = at < end ? bytes[at]! : 0;
    if (quote !== QUOTE && quote !== APOSTROPHE) this.#invalid('expected a quoted attribute value', at);
    return this.#attributeText(at + 1, quote, index);
  }

  #attributeText(start: number, quote: number, index: number): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = start;
    let copied = -1;
    for (;;) {
      if (at >= end) this.#invalid('the message ends inside of an attribute value', at);
      const byte = bytes[at]!;
      if (byte === quote) break;
      const kind = textClass[byte]!;
      let next = at + 1;
      let replacement = -1;
      if (kind === TEXT_LESS) this.#invalid('"<" inside of an attribute value', at);
      else if (kind === TEXT_ILLEGAL) this.#invalid('a character that XML does not allow', at);
      else if (kind === TEXT_BEYOND_ASCII) next = this.#character(at);
      else if (kind === TEXT_AMPERSAND) {
        next = this.#reference(at);
        replacement = this.#codePoint;
      } else if (byte === 0x0a || byte === 0x09 || kind === TEXT_RETURN) {
        // White space is normalised to spaces; a line end of two bytes is one.
        if (kind === TEXT_RETURN && next < end && bytes[next] === 0x0a) next++;
        replacement = SPACE;
      }
      if (replacement >= 0 && copied < 0) {
        copied = this.#scratchLength;
        this.#keepBytes(start, at);
      }
      if (replacement >= 0) this.#keepCharacter(replacement);
      else if (copied >= 0) this.#keepBytes(at, next);
      at = next;
    }
    this.#attributeValue[index] = copied < 0 ? start : SCRATCH_BASE - copied;
    this.#attributeValueLength[index] = copied < 0 ? at - start : this.#scratchLength - copied;
    return at + 1;
  }

  /** Declarations come into force for the whole tag, so prefixes are looked up after all are read. */
  #resolveAttributes(count: number): void {
    let prefixed = 0;
    for (let i = 0; i < count; i++) {
      if (this.#isDeclaration(i)) {
        this.#declared = true;
        this.#declare(i);
      } else if (this.#attributePrefixLength[i]! >= 0) prefixed++;
    }
    if (prefixed === 0) return;
    const bytes = this.#bytes;
    for (let i = 0; i < count; i++) {
      const prefixLength = this.#attributePrefixLength[i]!;
      this.#attributeBinding[i] = noExpandedName;
      if (prefixLength < 0 || this.#isDeclaration(i)) continue;
      const start = this.#attributeName[i]!;
      const binding = this.#lookup(start, prefixLength);
      if (binding < 0 && !spells(bytes, start, prefixLength, 'xml')) this.#invalid('the prefix of an attribute is not declared', start);
      this.#attributeBinding[i] = binding;
      if (prefixed === 1) continue;
      const local = start + prefixLength + 1;
      const localLength = this.#attributeNameLength[i]! - prefixLength - 1;
      const uriHash = binding < 0 ? 0 : this.#bindingUriHash[binding]!;
      const hash = hashOf(bytes, local, localLength) ^ Math.imul(uriHash, 31);
      this.#attributeExpandedHash[i] = hash;
      for (let j = 0; j < i; j++) {
        if (this.#attributeExpandedHash[j] !== hash || this.#attributeBinding[j] === noExpandedName) continue;
        const skip = this.#attributePrefixLength[j]! + 1;
        const otherLocal = this.#attributeName[j]! + skip;
        if (!equalBytes(bytes, local, localLength, bytes, otherLocal, this.#attributeNameLength[j]! - skip)) continue;
        if (this.#sameBinding(binding, this.#attributeBinding[j]!)) this.#invalid('an attribute twice in one tag, by its namespace', start);
      }
    }
  }

  #sameBinding(left: number, right: number): boolean {
    if (left === right) return true;
    if (left < 0 || right < 0 || this.#bindingUriHash[left] !== this.#bindingUriHash[right]) return false;
    const leftUri = this.#bindingUri[left]!;
    const rightUri = this.#bindingUri[right]!;
    return equalBytes(
      this.spanBytes(leftUri),
      this.spanStart(leftUri),
      this.#bindingUriLength[left]!,
      this.spanBytes(rightUri),
      this.spanStart(rightUri),
      this.#bindingUriLength[right]!,
    );
  }

  /** Gives where it ends, or `REFUSED` where it is not the present element's. */
  #endTag(start: number): number {
    const bytes = this.#bytes;
    const end = this.#end;
    const depth = this.#depth;
    const from = this.#nameStart[depth]!;
    const length = this.#nameLength[depth]!;
    let at = start + 2;
    if (at + length > end || !equalBytes(bytes, at, length, bytes, from, length)) {
      return this.#refuse('an end tag that does not match its start tag', start);
    }
    at += length;
    while (at < end && isXmlSpace(bytes[at]!)) at++;
    if (at >= end || bytes[at] !== GREATER) return this.#refuse('an end tag that does not match its start tag', start);
    return this.#pop(at + 1);
  }

  /** Closes the present element; `at` is where it ends. */
  #pop(at: number): number {
    const mark = this.#bindingMark[this.#depth]!;
    this.#depth--;
    if (this.#bindings !== mark) {
      this.#bindings = mark;
      this.#lookedUpAmong = -1;
      this.#refreshOwn();
    }
    return at;
  }

  /** A qualified name. Gives where it ends; `#prefixLength` is -1 where it has no prefix. */
  #name(start: number, what: string): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = start;
    let colon = -1;
    let partAt = start;
    for (;;) {
      const byte = at < end ? bytes[at]! : 0;
      const kind = nameClass[byte]!;
      let next = at + 1;
      if (kind === NAME_BEYOND_ASCII) {
        next = this.#character(at);
        const legal = at === partAt ? isNameStartBeyondAscii(this.#codePoint) : isNamePartBeyondAscii(this.#codePoint);
        if (!legal) this.#invalid(`expected ${what}`, at);
      } else if (byte === COLON) {
        if (colon >= 0 || at === start) this.#invalid(`expected ${what} with one prefix at most`, at);
        colon = at;
        partAt = next;
      } else if (kind === 0) break;
      else if (at === partAt && kind !== NAME_START) this.#invalid(`expected ${what}`, at);
      at = next;
    }
    if (at === partAt) this.#invalid(`expected ${what}`, at);
    this.#prefixLength = colon < 0 ? -1 : colon - start;
    return at;
  }

  // Text.

  /** Character data up to the next `<`, checked, not kept. */
  #skipText(start: number): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = start;
    for (;;) {
      while (at < end && textClass[bytes[at]!] === TEXT_PLAIN) at++;
      if (at >= end) this.#invalid('the message ends inside of an element', at);
      const kind = textClass[bytes[at]!]!;
      if (kind === TEXT_LESS) return at;
      if (kind === TEXT_AMPERSAND) at = this.#reference(at);
      else if (kind === TEXT_BEYOND_ASCII) at = this.#character(at);
      else at = this.#textMark(at, kind);
    }
  }

  /** A bracket or a return, or what is not allowed. */
  #textMark(at: number, kind: number): number {
    const bytes = this.#bytes;
    if (kind === TEXT_ILLEGAL) this.#invalid('a character that XML does not allow', at);
    if (kind === TEXT_BRACKET && at + 2 < this.#end && bytes[at + 1] === 0x5d && bytes[at + 2] === GREATER) {
      this.#invalid('"]]>" in character data', at);
    }
    return at + 1;
  }

  /**
   * The character data of a value, up to an end tag or a start tag: references resolved, CDATA taken in, comments and
   * processing instructions left out, line ends normalised. Stays in place where nothing of that is needed.
   */
  #readValue(start: number): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = start;
    let characters = 0;
    let copied = -1;
    this.#valueMarked = false;
    for (;;) {
      const from = at;
      while (at < end && textClass[bytes[at]!] === TEXT_PLAIN) at++;
      characters += at - from;
      if (copied >= 0 && at > from) this.#keepBytes(from, at);
      if (at >= end) this.#invalid('the message ends inside of an element', at);
      const kind = textClass[bytes[at]!]!;
      if (kind === TEXT_RETURN && copied >= 0) {
        // Each is a line end, and a line feed behind the last of them belongs to it.
        let next = at + 1;
        while (next < end && bytes[next] === 0x0d) next++;
        const count = next - at;
        this.#room(count);
        for (let i = 0; i < count; i++) this.scratch[this.#scratchLength++] = 0x0a;
        characters += count;
        at = next < end && bytes[next] === 0x0a ? next + 1 : next;
        continue;
      }
      if (kind === TEXT_BRACKET) {
        let next = at + 1;
        while (next < end && bytes[next] === 0x5d) next++;
        if (next - at >= 2) this.#textMark(next - 2, kind);
        if (copied >= 0) this.#keepBytes(at, next);
        characters += next - at;
        at = next;
        continue;
      }
      if (kind === TEXT_BEYOND_ASCII || kind === TEXT_ILLEGAL) {
        const next = kind === TEXT_BEYOND_ASCII ? this.#character(at) : this.#textMark(at, kind);
        if (copied >= 0) this.#keepBytes(at, next);
        characters++;
        at = next;
        continue;
      }
      const mark = kind === TEXT_LESS && at + 1 < end ? bytes[at + 1]! : 0;
      if (kind === TEXT_LESS && mark !== BANG && mark !== QUESTION) break;
      if (copied < 0) {
        copied = this.#scratchLength;
        this.#keepBytes(start, at);
      }
      if (kind === TEXT_AMPERSAND) {
        at = this.#reference(at);
        this.#keepCharacter(this.#codePoint);
        characters++;
      } else if (kind === TEXT_RETURN) {
        at += at + 1 < end && bytes[at + 1] === 0x0a ? 2 : 1;
        this.#keepCharacter(0x0a);
        characters++;
      } else if (mark === BANG && at + 2 < end && bytes[at + 2] === 0x5b) {
        this.#valueMarked = true;
        const stop = this.#markup(at, true) - 3;
        for (let i = at + 9; i < stop; ) {
          const isReturn = bytes[i] === 0x0d;
          const next = isReturn && bytes[i + 1] === 0x0a && i + 1 < stop ? i + 2 : i + 1;
          if (isReturn) this.#keepCharacter(0x0a);
          else this.#keepBytes(i, next);
          if ((bytes[i]! & 0xc0) !== 0x80) characters++;
          i = next;
        }
        at = stop + 3;
      } else at = this.#markup(at, true);
    }
    this.#value = copied < 0 ? start : SCRATCH_BASE - copied;
    this.#valueLength = copied < 0 ? at - start : this.#scratchLength - copied;
    this.#valueCharacters = characters;
    return at;
  }

  /** A character of several bytes. Gives where it ends, and leaves its code point. */
  #character(at: number): number {
    const bytes = this.#bytes;
    const left = this.#end - at;
    const lead = bytes[at]!;
    if (lead >= 0xc2 && lead <= 0xdf && left >= 2 && (bytes[at + 1]! & 0xc0) === 0x80 && !this.#asciiOnly) {
      this.#codePoint = ((lead & 0x1f) << 6) | (bytes[at + 1]! & 0x3f);
      return at + 2;
    }
    let size = 0;
    let codePoint = 0;
    if (lead >= 0xc2 && lead <= 0xdf) {
      size = 2;
      codePoint = lead & 0x1f;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      size = 3;
      codePoint = lead & 0x0f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      size = 4;
      codePoint = lead & 0x07;
    }
    if (size === 0 || size > left) this.#invalid('bytes that are not UTF-8', at);
    for (let i = 1; i < size; i++) {
      const byte = bytes[at + i]!;
      if ((byte & 0xc0) !== 0x80) this.#invalid('bytes that are not UTF-8', at);
      codePoint = (codePoint << 6) | (byte & 0x3f);
    }
    const overlong = (size === 3 && codePoint < 0x800) || (size === 4 && codePoint < 0x10000);
    if (overlong || (codePoint >= 0xd800 && codePoint <= 0xdfff) || codePoint > 0x10ffff) {
      this.#invalid('bytes that are not UTF-8', at);
    }
    if (!isXmlCharacter(codePoint)) this.#invalid('a character that XML does not allow', at);
    if (this.#asciiOnly) this.#invalid('a character that is not US-ASCII, as which the message is declared', at);
    this.#codePoint = codePoint;
    return at + size;
  }

  /** `&...;`. Gives where it ends, and leaves its code point. */
  #reference(start: number): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = start + 1;
    if (at < end && bytes[at] === 0x23) {
      const hexadecimal = at + 1 < end && bytes[at + 1] === 0x78;
      at += hexadecimal ? 2 : 1;
      const first = at;
      let codePoint = 0;
      for (; at < end && bytes[at] !== 0x3b; at++) {
        const digit = digitValue(bytes[at]!, hexadecimal);
        if (digit < 0) this.#invalid('a character reference that is not a number', start);
        // Leading zeros may be many; beyond Unicode the value itself no longer matters.
        if (codePoint <= 0x10ffff) codePoint = codePoint * (hexadecimal ? 16 : 10) + digit;
      }
      if (at === first || at >= end) this.#invalid('a character reference that does not end', start);
      if (!isXmlCharacter(codePoint)) this.#invalid('a reference to a character that XML does not allow', start);
      this.#codePoint = codePoint;
      return at + 1;
    }
    for (const [name, codePoint] of entities) {
      if (at + name.length <= end && spells(bytes, at, name.length, name)) {
        this.#codePoint = codePoint;
        return at + name.length;
      }
    }
    return this.#invalid('a reference to an entity that is not declared', start);
  }

  // Comments, processing instructions, CDATA, declarations.

  #markup(start: number, inElement: boolean): number {
    const bytes = this.#bytes;
    if (bytes[start + 1] === QUESTION) return this.#instruction(start);
    if (this.#follows(start, '<!--')) return this.#comment(start);
    if (this.#follows(start, '<!DOCTYPE')) this.#stop('XML_FORBIDDEN', 'a document type declaration', start);
    if (this.#follows(start, '<!ENTITY')) this.#stop('XML_FORBIDDEN', 'an entity declaration', start);
    if (!inElement || !this.#follows(start, '<![CDATA[')) this.#invalid('markup that is not known here', start);
    let at = start + 9;
    for (;;) {
      at = this.#skipTo(at, 0x5d, 'a CDATA section');
      if (this.#follows(at, ']]>')) return at + 3;
      at++;
    }
  }

  #comment(start: number): number {
    let at = start + 4;
    for (;;) {
      at = this.#skipTo(at, DASH, 'a comment');
      if (at + 1 < this.#end && this.#bytes[at + 1] === DASH) {
        if (!this.#follows(at, '-->')) this.#invalid('"--" inside of a comment', at);
        return at + 3;
      }
      at++;
    }
  }

  #instruction(start: number): number {
    const bytes = this.#bytes;
    const nameEnd = this.#name(start + 2, 'a target of a processing instruction');
    if (this.#prefixLength >= 0) this.#invalid('a colon in the target of a processing instruction', start);
    const length = nameEnd - start - 2;
    if (length === 3 && /^xml$/i.test(this.#decode(start + 2, nameEnd))) {
      this.#invalid('an XML declaration that is not at the very start', start);
    }
    if (this.#follows(nameEnd, '?>')) return nameEnd + 2;
    if (nameEnd >= this.#end || !isXmlSpace(bytes[nameEnd]!)) this.#invalid('a processing instruction that is not well-formed', start);
    let at = nameEnd;
    for (;;) {
      at = this.#skipTo(at, QUESTION, 'a processing instruction');
      if (this.#follows(at, '?>')) return at + 2;
      at++;
    }
  }

  /** Legal characters up to the next `byte`. */
  #skipTo(start: number, byte: number, what: string): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = start;
    while (at < end && bytes[at] !== byte) {
      const kind = textClass[bytes[at]!]!;
      if (kind === TEXT_BEYOND_ASCII) at = this.#character(at);
      else if (kind === TEXT_ILLEGAL) this.#invalid('a character that XML does not allow', at);
      else at++;
    }
    if (at >= end) this.#invalid(`the message ends inside of ${what}`, at);
    return at;
  }

  /** Byte order mark and XML declaration. */
  #prolog(start: number): number {
    const bytes = this.#bytes;
    let at = start;
    if (this.#end - at >= 3 && bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf) at += 3;
    if (!this.#follows(at, '<?xml') || at + 5 >= this.#end || !isXmlSpace(bytes[at + 5]!)) return at;
    const stop = declarationEnd(bytes, at, this.#end);
    if (stop < 0) this.#invalid('an XML declaration that does not end', at);
    const match = declaration.exec(this.#decode(at, stop));
    if (match === null) this.#invalid('an XML declaration that is not well-formed', at);
    const encoding = (match[2] ?? match[3])?.toUpperCase();
    if (encoding === 'US-ASCII' || encoding === 'ASCII') this.#asciiOnly = true;
    else if (encoding !== undefined && encoding !== 'UTF-8' && encoding !== 'UTF8') {
      this.#invalid('an encoding other than UTF-8 is declared', at);
    }
    return stop;
  }

  #follows(at: number, text: string): boolean {
    return at + text.length <= this.#end && spells(this.#bytes, at, text.length, text);
  }

  // Helpers.

  #decode(start: number, end: number): string {
    return this.#decodeFrom(this.#bytes, start, end - start);
  }

  #decodeFrom(bytes: Uint8Array, start: number, length: number): string {
    return Buffer.from(bytes.buffer, bytes.byteOffset + start, length).toString('utf8');
  }

  #keepBytes(start: number, end: number): void {
    const length = end - start;
    this.#room(length);
    if (length < 32) for (let i = 0; i < length; i++) this.scratch[this.#scratchLength + i] = this.#bytes[start + i]!;
    else this.scratch.set(this.#bytes.subarray(start, end), this.#scratchLength);
    this.#scratchLength += length;
  }

  #keepCharacter(codePoint: number): void {
    this.#room(4);
    const scratch = this.scratch;
    let at = this.#scratchLength;
    if (codePoint < 0x80) scratch[at++] = codePoint;
    else if (codePoint < 0x800) {
      scratch[at++] = 0xc0 | (codePoint >> 6);
      scratch[at++] = 0x80 | (codePoint & 0x3f);
    } else if (codePoint < 0x10000) {
      scratch[at++] = 0xe0 | (codePoint >> 12);
      scratch[at++] = 0x80 | ((codePoint >> 6) & 0x3f);
      scratch[at++] = 0x80 | (codePoint & 0x3f);
    } else {
      scratch[at++] = 0xf0 | (codePoint >> 18);
      scratch[at++] = 0x80 | ((codePoint >> 12) & 0x3f);
      scratch[at++] = 0x80 | ((codePoint >> 6) & 0x3f);
      scratch[at++] = 0x80 | (codePoint & 0x3f);
    }
    this.#scratchLength = at;
  }

  #room(length: number): void {
    if (this.#scratchLength + length <= this.scratch.length) return;
    const larger = new Uint8Array(Math.max(this.scratch.length * 2, this.#scratchLength + length));
    larger.set(this.scratch);
    this.scratch = larger;
  }

  #refuse(reason: string, at: number): number {
    this.#verdict = 'XML_INVALID';
    this.reason = reason;
    this.reasonAt = Math.min(at, this.#end);
    return REFUSED;
  }

  #invalid(reason: string, at: number): never {
    return this.#stop('XML_INVALID', reason, at);
  }

  #stop(verdict: ScanVerdict, reason: string, at: number): never {
    this.#verdict = verdict;
    this.reason = reason;
    this.reasonAt = Math.min(at, this.#end);
    throw stopped;
  }
}

/** By first letter and length: Document, SplmtryData, MsgId, and whatever else looks like them at first sight. */
function isLookedOutFor(first: number, length: number): boolean {
  return (first === 0x44 && length === 8) || (first === 0x53 && length === 11) || (first === 0x4d && length === 5);
}

const noCaptures = new Int16Array(0);
/** Of an attribute without a prefix, or one that declares. -1 is the prefix xml. */
const noExpandedName = -2;

const entities = [
  ['amp;', 0x26],
  ['lt;', 0x3c],
  ['gt;', 0x3e],
  ['quot;', 0x22],
  ['apos;', 0x27],
] as const;

const declaration =
  /^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:"1\.[0-9]+"|'1\.[0-9]+')([ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?:"([A-Za-z][A-Za-z0-9._-]*)"|'([A-Za-z][A-Za-z0-9._-]*)'))?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:"(?:yes|no)"|'(?:yes|no)'))?[ \t\r\n]*\?>$/;

/** A declaration is short; one that is not has no end worth looking for. */
const declarationBytesMax = 1024;

function declarationEnd(bytes: Uint8Array, start: number, end: number): number {
  const limit = Math.min(end, start + declarationBytesMax);
  for (let at = start; at + 1 < limit; at++) if (bytes[at] === QUESTION && bytes[at + 1] === GREATER) return at + 2;
  return -1;
}

function digitValue(byte: number, hexadecimal: boolean): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  if (!hexadecimal) return -1;
  if (byte >= 0x61 && byte <= 0x66) return byte - 0x61 + 10;
  return byte >= 0x41 && byte <= 0x46 ? byte - 0x41 + 10 : -1;
}

function equalBytes(
  left: Uint8Array,
  leftStart: number,
  leftLength: number,
  right: Uint8Array,
  rightStart: number,
  rightLength: number,
): boolean {
  if (leftLength !== rightLength) return false;
  for (let i = 0; i < leftLength; i++) if (left[leftStart + i] !== right[rightStart + i]) return false;
  return true;
}

/** To tell most names apart without a look at their bytes. */
function hashOf(bytes: Uint8Array, start: number, length: number): number {
  let hash = length;
  for (let i = start; i < start + length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash;
}

function spells(bytes: Uint8Array, start: number, length: number, word: string): boolean {
  if (length !== word.length) return false;
  for (let i = 0; i < length; i++) if (bytes[start + i] !== word.charCodeAt(i)) return false;
  return true;
}

function countCharacters(bytes: Uint8Array, start: number, end: number): number {
  let count = 0;
  for (let at = start; at < end; at++) if ((bytes[at]! & 0xc0) !== 0x80) count++;
  return count;
}

function grown(column: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(column.length * 2);
  larger.set(column);
  return larger;
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

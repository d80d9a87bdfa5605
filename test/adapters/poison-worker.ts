/** A decoder thread as the real one is, but for a message reader that obeys what stands in the document. */
import { bundleDecoder } from '../../workers/bundle.ts';
import { obedientReader } from './obedient-reader.ts';

export default bundleDecoder(obedientReader);

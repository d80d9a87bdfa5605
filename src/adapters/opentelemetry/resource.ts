/** Who tells: the process as OpenTelemetry names it. */
import { defaultResource, detectResources, resourceAttributesEnvDetector, resourceFromAttributes, serviceNameEnvDetector } from '@opentelemetry/resources';
import type { Resource } from '@opentelemetry/resources';

export interface Teller {
  /** `worker`, `sink` or a command. */
  readonly process: string;
  readonly workerId: string;
  readonly version: string;
}

/** OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over ours. */
export function resourceOf({ process, workerId, version }: Teller): Resource {
  return defaultResource()
    .merge(resourceFromAttributes({
      'service.name': `settlefleet-${process}`,
      'service.namespace': 'settlefleet',
      'service.instance.id': workerId,
      'service.version': version,
    }))
    .merge(detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] }));
}

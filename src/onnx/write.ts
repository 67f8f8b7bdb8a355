/**
 * Writes a lowered graph as the bytes of an ONNX model. No maths: nodes in, bytes out.
 */

import { type DType, ONNX_DATA_TYPE } from '../graph/dtype.ts';
import type { Attribute, OnnxConstant, OnnxNode } from '../graph/emitter.ts';
import type { LoweredGraph, Port } from '../graph/graph.ts';
import { attributeType, ModelProto } from './schema.ts';

const IR_VERSION = 10;
const OPSET = 21;

/** @param sequence name of an additional output, listed before the others: a sequence of tensors that is always empty */
export function writeModel(graph: LoweredGraph, sequence?: string): Uint8Array {
  const sequences = sequence === undefined ? [] : [sequence];
  const model = {
    irVersion: IR_VERSION,
    producerName: 'sightline',
    opsetImport: opsetsOf(graph),
    graph: {
      name: graph.name,
      node: [...sequences.map(writeEmptySequence), ...graph.nodes.map(writeNode)],
      initializer: graph.constants.map(writeConstant),
      input: graph.inputs.map(writePort),
      output: [...sequences.map(writeSequencePort), ...graph.outputs.map(writePort)],
      valueInfo: graph.intermediates.map(writePort),
    },
  };
  return ModelProto.encode(ModelProto.fromObject(model)).finish();
}

// --- internal ---

/** The domain of ONNX Runtime's own ops. Always imported, because the runtime's optimiser may insert such ops into any graph. */
const ORT_DOMAIN = 'com.microsoft';

/** Domains with their versions. Other domains, which not every build of the runtime knows, only where the graph uses them. */
function opsetsOf({ nodes }: LoweredGraph): { domain: string; version: number }[] {
  const used = nodes.map(({ domain }) => domain).filter((domain) => domain !== '');
  return [
    { domain: '', version: OPSET },
    ...[...new Set([ORT_DOMAIN, ...used])].map((domain) => ({ domain, version: 1 })),
  ];
}

const writeNode = ({ opType, domain, inputs, outputs, attributes }: OnnxNode) => ({
  input: inputs,
  output: outputs,
  name: outputs[0],
  opType,
  domain,
  attribute: Object.entries(attributes).map(([name, value]) => ({ name, ...writeAttribute(name, value) })),
});

function writeAttribute(name: string, value: Attribute) {
  if (typeof value === 'number' && !Number.isInteger(value)) {
    throw new Error(`internal: attribute ${name} is ${value}: write { float: ${value} }`);
  }
  if (typeof value === 'number') return { type: attributeType.int, i: value };
  if (typeof value === 'string') return { type: attributeType.string, s: Buffer.from(value) };
  if ('float' in value) return { type: attributeType.float, f: value.float };
  return { type: attributeType.ints, ints: [...value] };
}

function writeConstant({ name, dtype, dims, values }: OnnxConstant) {
  const packed = Array.isArray(values) ? pack[dtype](values) : (values as Uint8Array | Float32Array);
  const rawData = new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength);
  return { name, dims, dataType: ONNX_DATA_TYPE[dtype], rawData };
}

/** Elements in the layout of TensorProto.raw_data. */
const pack: Record<DType, (values: readonly number[]) => Float32Array | Int32Array | BigInt64Array | Uint8Array> = {
  uint8: (values) => Uint8Array.from(values),
  float16: () => {
    throw new Error('internal: no constant is float16');
  },
  float32: (values) => Float32Array.from(values),
  int32: (values) => Int32Array.from(values),
  int64: (values) => BigInt64Array.from(values, BigInt),
  bool: (values) => Uint8Array.from(values),
};

const writePort = ({ name, dtype, shape }: Port) => ({
  name,
  type: {
    tensorType: {
      elemType: ONNX_DATA_TYPE[dtype],
      shape: { dim: shape.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })) },
    },
  },
});

const writeEmptySequence = (name: string) =>
  writeNode({ opType: 'SequenceEmpty', domain: '', inputs: [], outputs: [name], attributes: {} });

const writeSequencePort = (name: string) => ({
  name,
  type: { sequenceType: { elemType: { tensorType: { elemType: ONNX_DATA_TYPE.float32 } } } },
});

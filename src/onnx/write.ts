/**
 * Writes a lowered graph as the bytes of an ONNX model. No maths: nodes in, bytes out.
 */
import type { Attribute, OnnxConstant, OnnxNode } from '../graph/emitter.ts';
import type { LoweredGraph, Port } from '../graph/graph.ts';
import { attributeType, dataType, ModelProto } from './schema.ts';

const IR_VERSION = 10;
const OPSET = 21;

export function writeModel(graph: LoweredGraph): Uint8Array {
  const model = {
    irVersion: IR_VERSION,
    producerName: 'sightline',
    opsetImport: [
      { domain: '', version: OPSET },
      { domain: 'com.microsoft', version: 1 },
    ],
    graph: {
      name: graph.name,
      node: graph.nodes.map(writeNode),
      initializer: graph.constants.map(writeConstant),
      input: graph.inputs.map(writePort),
      output: graph.outputs.map(writePort),
    },
  };
  return ModelProto.encode(ModelProto.fromObject(model)).finish();
}

// --- internal ---

const writeNode = ({ opType, domain, inputs, output, attributes }: OnnxNode) => ({
  input: inputs,
  output: [output],
  name: output,
  opType,
  domain,
  attribute: Object.entries(attributes).map(([name, value]) => ({ name, ...writeAttribute(value) })),
});

function writeAttribute(value: Attribute) {
  if (typeof value === 'number') return { type: attributeType.int, i: value };
  if (typeof value === 'string') return { type: attributeType.string, s: Buffer.from(value) };
  if ('float' in value) return { type: attributeType.float, f: value.float };
  return { type: attributeType.ints, ints: [...value] };
}

function writeConstant({ name, dtype, dims, values }: OnnxConstant) {
  const typed =
    dtype === 'float32'
      ? Float32Array.from(values)
      : dtype === 'int64'
        ? BigInt64Array.from(values, BigInt)
        : Int32Array.from(values);
  return { name, dims, dataType: dataType[dtype], rawData: new Uint8Array(typed.buffer) };
}

const writePort = ({ name, dtype, shape }: Port) => ({
  name,
  type: {
    tensorType: {
      elemType: dataType[dtype],
      shape: { dim: shape.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })) },
    },
  },
});

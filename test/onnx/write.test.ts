import { describe, expect, test } from 'vitest';
import type { DType } from '../../src/graph/dtype.ts';
import { ONNX_DATA_TYPE } from '../../src/graph/dtype.ts';
import type { Attribute } from '../../src/graph/emitter.ts';
import { lower } from '../../src/graph/graph.ts';
import { makeNode } from '../../src/graph/ops/define.ts';
import { add, exp, gelu, lessOrEqual, mul, where } from '../../src/graph/ops/elementwise.ts';
import { reshape, transpose } from '../../src/graph/ops/movement.ts';
import { input, none, scalar, type Value } from '../../src/graph/value.ts';
import { ModelProto } from '../../src/onnx/schema.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { floats } from '../../src/runtime/tensor.ts';

/** The written bytes, read again into plain objects: int64 as strings, bytes as arrays, absent fields absent. */
function decoded(inputs: Record<string, Value>, outputs: Record<string, Value>) {
  const bytes = writeModel(lower({ name: 'the graph', inputs, outputs }));
  return ModelProto.toObject(ModelProto.decode(bytes), { longs: String, bytes: Array });
}

const x = input('x', ['N', 2]);

test('a whole model', () => {
  expect(decoded({ x }, { y: transpose(exp(x), [1, 0]) })).toEqual({
    irVersion: '10',
    producerName: 'sightline',
    opsetImport: [{ version: '21' }, { domain: 'com.microsoft', version: '1' }],
    graph: {
      name: 'the graph',
      node: [
        { input: ['x'], output: ['v:0'], name: 'v:0', opType: 'Exp' },
        {
          input: ['v:0'],
          output: ['y'],
          name: 'y',
          opType: 'Transpose',
          attribute: [{ name: 'perm', type: 7, ints: ['1', '0'] }],
        },
      ],
      input: [
        { name: 'x', type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: 'N' }, { dimValue: '2' }] } } } },
      ],
      output: [
        { name: 'y', type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: '2' }, { dimParam: 'N' }] } } } },
      ],
      // Sizes of what is neither: the runtime plans memory by them.
      valueInfo: [
        { name: 'v:0', type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: 'N' }, { dimValue: '2' }] } } } },
      ],
    },
  });
});

test('an empty sequence, as the first output', () => {
  const bytes = writeModel(lower({ name: 'the graph', inputs: { x }, outputs: { y: exp(x) } }), 'mark');
  const { graph } = ModelProto.toObject(ModelProto.decode(bytes));
  expect(graph.node[0]).toEqual({ output: ['mark'], name: 'mark', opType: 'SequenceEmpty' });
  expect(graph.output.map(({ name }: { name: string }) => name)).toEqual(['mark', 'y']);
  expect(graph.output[0].type).toEqual({ sequenceType: { elemType: { tensorType: { elemType: 1 } } } });
});

test('domains are written', () => {
  expect(decoded({ x }, { y: gelu(x) }).graph.node[0]).toMatchObject({ opType: 'Gelu', domain: 'com.microsoft' });
});

describe('attributes', () => {
  const node = (attributes: Readonly<Record<string, Attribute>>): Value =>
    makeNode({
      op: 'test',
      inputs: [x],
      shape: x.shape,
      emit: (emitter, names) => emitter.node('Test', names, attributes),
      vjp: none('a test'),
    });

  test('of every type', () => {
    const attributes = { whole: -3, real: { float: 0.5 }, text: 'add', list: [0, -1, 7], none: [] };
    expect(decoded({ x }, { y: node(attributes) }).graph.node[0].attribute).toEqual([
      { name: 'whole', type: 2, i: '-3' },
      { name: 'real', type: 1, f: 0.5 },
      { name: 'text', type: 3, s: [...Buffer.from('add')] },
      { name: 'list', type: 7, ints: ['0', '-1', '7'] },
      { name: 'none', type: 7 },
    ]);
  });

  test('a fraction must say that it is a float', () => {
    expect(() => decoded({ x }, { y: node({ alpha: 1.5 }) })).toThrow(
      'internal: attribute alpha is 1.5: write { float: 1.5 }',
    );
  });
});

describe('constants', () => {
  const bytesOf: Record<Exclude<DType, 'float16'>, (values: number[]) => Uint8Array> = {
    float32: (values) => new Uint8Array(Float32Array.from(values).buffer),
    int32: (values) => new Uint8Array(Int32Array.from(values).buffer),
    int64: (values) => new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
    bool: (values) => Uint8Array.from(values),
    uint8: (values) => Uint8Array.from(values),
  };
  test.each<[Exclude<DType, 'float16'>, number]>([
    ['uint8', 200],
    ['float32', 0.1],
    ['float32', Number.NEGATIVE_INFINITY],
    ['int32', -7],
    ['int64', 2 ** 40],
    ['bool', 1],
  ])('%s %d', (dtype, value) => {
    const y = makeNode({
      op: 'test',
      inputs: [scalar(value, dtype)],
      shape: [],
      dtype,
      emit: (emitter, names) => emitter.node('Identity', names),
      vjp: none('a test'),
    });
    expect(decoded({}, { y }).graph.initializer).toEqual([
      { name: 'c:0', dataType: ONNX_DATA_TYPE[dtype], rawData: [...bytesOf[dtype]([value])] },
    ]);
  });

  test('vectors carry their size', () => {
    expect(decoded({ x }, { y: reshape(x, [2, 'N']) }).graph.initializer).toEqual([
      { dims: ['2'], name: 'c:0', dataType: 7, rawData: [...bytesOf.int64([2, -1])] },
    ]);
  });

  test('ONNX Runtime reads a bool as one byte', async () => {
    const y = where(scalar(1, 'bool'), add(x, 1), mul(x, 0));
    const executable = await cpu.compile({ name: 'g', inputs: { x }, outputs: { y } });
    const { y: got } = await executable.run({ x: floats(Float32Array.of(1, 2), [1, 2]) }, {}, ['y']);
    expect([...got.data]).toEqual([2, 3]);
    await executable.release();
  });
});

test('ports of every type', () => {
  const inputs = { a: input('a', ['G*L', 1], 'int32'), b: input('b', [], 'int32') };
  const { graph } = decoded(inputs, { y: lessOrEqual(inputs.a, inputs.b) });
  const portOf = (elemType: number, dim: object[]) => ({ tensorType: { elemType, shape: dim.length ? { dim } : {} } });
  expect(graph.input).toEqual([
    { name: 'a', type: portOf(6, [{ dimParam: 'G*L' }, { dimValue: '1' }]) },
    { name: 'b', type: portOf(6, []) },
  ]);
  expect(graph.output).toEqual([{ name: 'y', type: portOf(9, [{ dimParam: 'G*L' }, { dimValue: '1' }]) }]);
});

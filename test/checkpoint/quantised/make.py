"""
Codes and scales that ONNX Runtime's own quantiser gives for some matrices, and the numbers that its kernel MatMulNBits takes
them for: the product with an identity matrix, with activations of float32 (accuracy level 1).

    pip install onnxruntime==1.32.0 onnx numpy
    python test/checkpoint/quantised/make.py > test/checkpoint/quantised/values.json
"""
import base64
import json
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnxruntime.capi import _pybind_state as state

BLOCK = 64
QUANTISERS = {4: state.quantize_matmul_4bits, 8: state.quantize_matmul_8bits}


def matrices():
    random = np.random.default_rng(7)
    yield 'normal', random.standard_normal((24, 192))
    yield 'rows that end within a block', random.standard_normal((7, 150))
    yield 'one block and an odd rest', random.standard_normal((3, 67))
    heavy = random.standard_normal((8, 128)) ** 3
    yield 'heavy tails', heavy
    ends = random.uniform(-0.9, 0.9, (4, 128))
    ends[0, :2] = [1, -1]  # the extreme comes first as a positive number,
    ends[1, :2] = [-1, 1]  # as a negative one,
    ends[2, :] = 0  # blocks of zeros,
    ends[3, :64] = 2.0**-140  # and of numbers below those of full precision
    yield 'ends of the range', ends
    yield 'bfloat16', (random.standard_normal((8, 128)).astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)


def quantised(weight, bits):
    """codes [out, blocks, BLOCK * bits / 8] and scales [out, blocks] of a weight [out, in], without zero points"""
    out, inner = weight.shape
    blocks = -(-inner // BLOCK)
    codes = np.zeros((out, blocks, BLOCK * bits // 8), np.uint8)
    scales = np.zeros(out * blocks, np.float32)
    zero_points = np.zeros(out * (-(-blocks * bits // 8)), np.uint8)
    QUANTISERS[bits](codes, np.ascontiguousarray(weight.T), scales, zero_points, BLOCK, out, inner, True)
    return codes, scales.reshape(out, blocks)


def numbers(codes, scales, inner, bits):
    """what the kernel takes the codes for: [out, in]"""
    out = len(codes)
    node = helper.make_node(
        'MatMulNBits', ['x', 'codes', 'scales'], ['y'], domain='com.microsoft',
        K=inner, N=out, bits=bits, block_size=BLOCK, accuracy_level=1,
    )
    graph = helper.make_graph(
        [node], 'numbers',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, [inner, inner])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, [inner, out])],
        [
            helper.make_tensor('codes', TensorProto.UINT8, codes.shape, codes.tobytes(), raw=True),
            helper.make_tensor('scales', TensorProto.FLOAT, [scales.size], scales.tobytes(), raw=True),
        ],
    )
    opsets = [helper.make_opsetid('', 17), helper.make_opsetid('com.microsoft', 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    return session.run(None, {'x': np.eye(inner, dtype=np.float32)})[0].T


def text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


cases = []
for name, values in matrices():
    weight = values.astype(np.float32)
    for bits in QUANTISERS:
        codes, scales = quantised(weight, bits)
        cases.append({
            'name': name, 'bits': bits, 'dims': list(weight.shape), 'weight': text(weight),
            'codes': text(codes), 'scales': text(scales), 'numbers': text(numbers(codes, scales, weight.shape[1], bits)),
        })
json.dump({'onnxruntime': onnxruntime.__version__, 'cases': cases}, sys.stdout, indent=1)
print()

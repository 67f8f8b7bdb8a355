"""Events as tensorboard's own messages encode them: the reference values of test/report/tensorboard.test.ts.

python make.py            prints the values
python make.py read DIR   reads the event files of a run back, with tensorboard's reader

tensorboard 2.21.0
"""
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto


def event(value):
    return Event(wall_time=1.5, step=3, summary=Summary(value=[value])).SerializeToString().hex()


def make():
    image = Summary.Image(height=2, width=3, colorspace=3, encoded_image_string=b'jpeg')
    text = TensorProto(dtype='DT_STRING', tensor_shape=TensorShapeProto(), string_val=['a\nä'.encode()])
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name='text'))
    print('scalar', event(Summary.Value(tag='train/reward', simple_value=0.25)))
    print('image', event(Summary.Value(tag='images/1', image=image)))
    print('text', event(Summary.Value(tag='completions/1', tensor=text, metadata=metadata)))


def read(folder):
    events = EventAccumulator(folder, size_guidance={'images': 0, 'tensors': 0, 'scalars': 0})
    events.Reload()
    tags = events.Tags()
    print('scalars', len(tags['scalars']))
    for tag in tags['tensors']:
        plugin = events.SummaryMetadata(tag).plugin_data.plugin_name
        for found in events.Tensors(tag):
            print(plugin, tag, found.step, repr(found.tensor_proto.string_val[0].decode()))
    for tag in tags['images']:
        for found in events.Images(tag):
            print('image', tag, found.step, found.width, found.height, found.encoded_image_string[:3])


if __name__ == '__main__':
    read(sys.argv[2]) if sys.argv[1:2] == ['read'] else make()

"""Small images of every kind that decoding must treat as PIL does, and PIL's `convert('RGB')` of each.

Made with Pillow 13.0.0 and numpy: python make.py (writes beside itself).
"""
import json
import os
import struct
import zlib

import numpy as np
from PIL import Image

os.chdir(os.path.dirname(os.path.abspath(__file__)))
rng = np.random.default_rng(0)
W, H = 18, 11
base = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((W, H), Image.BICUBIC)
alpha = Image.fromarray(rng.integers(0, 256, (H, W), dtype=np.uint8))
rgba = base.convert('RGBA')
rgba.putalpha(alpha)
la = base.convert('L').convert('LA')
la.putalpha(alpha)
palette = base.convert('P', palette=Image.ADAPTIVE, colors=16)
turned = Image.Exif()
turned[0x112] = 6


def png(name, samples, colour):
    """A 16-bit PNG, which PIL cannot write in colour."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    height, width = samples.shape[:2]
    rows = b''.join(b'\0' + samples[y].astype('>u2').tobytes() for y in range(height))
    header = struct.pack('>IIBBBBB', width, height, 16, colour, 0, 0, 0)
    with open(name, 'wb') as f:
        f.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


base.save('rgb.png')
base.save('rgb.jpg', quality=80)
base.save('progressive.jpg', quality=90, progressive=True, subsampling=0)
base.save('exif_turned.jpg', quality=80, exif=turned)
base.convert('L').save('grey.jpg')
base.convert('CMYK').save('cmyk.jpg', quality=95)
base.convert('L').save('grey.png')
base.convert('1').save('one_bit.png')
rgba.save('rgba.png')
la.save('grey_alpha.png')
palette.save('palette.png')
palette.save('palette_transparent.png', transparency=3)
base.save('lossy.webp', quality=70)
rgba.save('rgba.webp', lossless=True)
palette.save('animated.gif', save_all=True, append_images=[palette.rotate(90), palette.rotate(180)])
Image.fromarray(rng.integers(0, 65536, (H, W)).astype(np.uint16)).save('grey16.png')
Image.fromarray((rng.integers(0, 300, (H, W))).astype(np.uint16)).save('grey16_dark.png')
png('rgb16.png', rng.integers(0, 65536, (H, W, 3)), 2)
png('rgba16.png', rng.integers(0, 65536, (H, W, 4)), 6)
png('grey_alpha16.png', rng.integers(0, 65536, (H, W, 2)), 4)

expected = {}
for name in sorted(os.listdir('.')):
    if name.endswith(('.png', '.jpg', '.webp', '.gif')):
        image = Image.open(name)
        expected[name] = dict(mode=image.mode, width=image.width, height=image.height, rgb=image.convert('RGB').tobytes().hex())
with open('expected.json', 'w') as f:
    json.dump(expected, f, indent=1)
    f.write('\n')

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


def png(name, samples, colour, transparent=None):
    """A 16-bit PNG, which PIL cannot write in colour."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    height, width = samples.shape[:2]
    rows = b''.join(b'\0' + samples[y].astype('>u2').tobytes() for y in range(height))
    header = struct.pack('>IIBBBBB', width, height, 16, colour, 0, 0, 0)
    with open(name, 'wb') as f:
        shade = b'' if transparent is None else chunk(b'tRNS', transparent)
        f.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + shade + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


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


def bmp(name, samples, bits, dib=40, palette=(), compression=0, masks=(), data=None, top_down=False):
    """A BMP of any kind; `samples` (height, width) holds one number a pixel."""
    height, width = samples.shape
    rows = samples if top_down else samples[::-1]
    if data is None:
        data = b''
        for row in rows:
            if bits < 8:
                digits = ''.join(format(int(v), f'0{bits}b') for v in row)
                line = int(digits.ljust(-(-len(digits) // 8) * 8, '0'), 2).to_bytes(-(-len(digits) // 8), 'big')
            else:
                line = b''.join(int(v).to_bytes(bits // 8, 'little') for v in row)
            data += line + bytes(-len(line) % 4)
    if dib == 12:
        header = struct.pack('<IHHHH', 12, width, height, 1, bits)
        colours = b''.join(bytes(c[::-1]) for c in palette)
    else:
        signed = -height if top_down else height
        header = struct.pack('<IiiHHIIiiII', dib, width, signed, 1, bits, compression, len(data), 2835, 2835, len(palette), 0)
        fields = b''.join(struct.pack('<I', m) for m in masks)
        header += fields if dib == 40 else fields.ljust(dib - 40, b'\0')
        colours = b''.join(bytes(c[::-1]) + b'\0' for c in palette)
    start = 14 + len(header) + len(colours)
    with open(name, 'wb') as f:
        f.write(b'BM' + struct.pack('<IHHI', start + len(data), 0, 0, start) + header + colours + data)


def rle(samples, four):
    """Run lengths of rows from the bottom: runs, one stretch as it is, a jump over four pixels, ends of lines."""
    out = b''
    for y, row in enumerate(samples[::-1]):
        values = [int(v) for v in row]
        if y == 2:
            stretch = values[:5]
            if four:
                packed = bytes(a << 4 | b for a, b in zip(stretch[::2], stretch[1::2] + [0]))
            else:
                packed = bytes(stretch)
            out += bytes([0, 5]) + packed + bytes(len(packed) % 2)
            values = values[5:]
        if y == 4:
            out += bytes([0, 2, 4, 0])
            values = values[4:]
        for value in values:
            out += bytes([1, value << 4 | value if four else value])
        out += b'\0\0'
    return out + b'\0\1'


packed = lambda shifts: sum(np.asarray(base).astype(np.uint32)[..., c] << s for c, s in enumerate(shifts))
high = np.asarray(alpha).astype(np.uint32) << 24
colours = [tuple(c) for c in rng.integers(0, 256, (16, 3)).tolist()]
many = [tuple(c) for c in rng.integers(0, 256, (200, 3)).tolist()]
four = rng.integers(0, 16, (H, W - 1))
five = rng.integers(0, 1 << 16, (H, W))
eight = rng.integers(0, 200, (H, W - 1))
base.save('rgb.bmp')
palette.save('palette.bmp')
base.convert('L').save('grey.bmp')
base.convert('1').save('one_bit.bmp')
bmp('top_down.bmp', packed((16, 8, 0)), 24, top_down=True)
bmp('four_bit.bmp', four, 4, palette=colours)
bmp('os2.bmp', packed((16, 8, 0)), 24, dib=12)
bmp('os2_palette.bmp', four, 4, dib=12, palette=colours)
bmp('two_colours.bmp', four % 2, 1, palette=colours[:2])
bmp('few_colours.bmp', eight, 8, palette=many)
bmp('rgb555.bmp', five, 16)
bmp('rgb565.bmp', five, 16, compression=3, masks=(0xF800, 0x7E0, 0x1F))
bmp('unused_alpha.bmp', packed((16, 8, 0)) | high, 32)
bmp('fields.bmp', packed((16, 8, 0)) | high, 32, compression=3, masks=(0xFF0000, 0xFF00, 0xFF))
bmp('alpha_v4.bmp', packed((16, 8, 0)) | high, 32, dib=108, compression=3, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
bmp('alpha_v5.bmp', packed((0, 8, 16)) | high, 32, dib=124, compression=3, masks=(0xFF, 0xFF00, 0xFF0000, 0xFF000000))
bmp('alpha_zero.bmp', packed((16, 8, 0)), 32, dib=108, compression=3, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
bmp('rle8.bmp', eight, 8, palette=many, compression=1, data=rle(eight, False))
bmp('rle4.bmp', four, 4, palette=colours, compression=2, data=rle(four, True))

base.save('rgb.tif')
base.save('lzw.tif', compression='tiff_lzw')
base.save('deflate.tif', compression='tiff_adobe_deflate', tiffinfo={317: 2})
base.resize((32, 16)).save('jpeg.tif', compression='jpeg', quality=80)
base.convert('1').save('fax.tif', compression='group4')
base.convert('1').save('one_bit.tif')
base.convert('L').save('grey.tif', compression='packbits')
palette.save('palette.tif')
base.convert('CMYK').save('cmyk.tif')
rgba.save('rgba.tif')
la.save('grey_alpha.tif')
base.save('turned.tif', tiffinfo={274: 6})
base.save('pages.tif', save_all=True, append_images=[base.rotate(90), base.rotate(180)])
base.save('big.tif', big_tiff=True)
Image.fromarray(rng.integers(0, 65536, (H, W)).astype(np.uint16)).save('grey16.tif')
Image.fromarray(rng.integers(0, 300, (H, W)).astype(np.uint16)).save('grey16_dark.tif')
Image.fromarray(rng.uniform(-50, 300, (H, W)).astype(np.float32)).save('float.tif')
Image.fromarray(rng.integers(-50, 300, (H, W)).astype(np.int32)).save('int32.tif')


def tiff(name, samples, bits, photometric, extra=None, order='>'):
    """A TIFF without compression, in one strip, of kinds that PIL cannot write."""
    height, width = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    data = samples.astype(f'{order}u{bits // 8}').tobytes()
    entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * channels), (259, 3, [1]), (262, 3, [photometric]),
               (273, 4, [8]), (277, 3, [channels]), (278, 4, [height]), (279, 4, [len(data)])]
    if extra is not None:
        entries.append((338, 3, [extra]))
    at = 8 + len(data) + len(data) % 2
    values = b''
    table = struct.pack(order + 'H', len(entries))
    for tag, kind, numbers in entries:
        packed = b''.join(struct.pack(order + 'HI'[kind == 4], n) for n in numbers)
        if len(packed) > 4:
            table += struct.pack(order + 'HHII', tag, kind, len(numbers), at + 2 + 12 * len(entries) + 4 + len(values))
            values += packed
        else:
            table += struct.pack(order + 'HHI', tag, kind, len(numbers)) + packed.ljust(4, b'\0')
    with open(name, 'wb') as f:
        f.write(b'MM\0*' if order == '>' else b'II*\0')
        f.write(struct.pack(order + 'I', at) + data + bytes(len(data) % 2) + table + bytes(4) + values)


rgba_samples = np.asarray(rgba)
premultiplied = np.dstack([rgba_samples[..., :3] * (rgba_samples[..., 3:] / 255), rgba_samples[..., 3:]]).astype(np.uint8)
tiff('rgb16.tif', rng.integers(0, 65536, (H, W, 3)), 16, 2)
tiff('rgb16_little.tif', rng.integers(0, 65536, (H, W, 3)), 16, 2, order='<')
tiff('rgba16.tif', rng.integers(0, 65536, (H, W, 4)), 16, 2, extra=2)
tiff('cmyk16.tif', rng.integers(0, 65536, (H, W, 4)), 16, 5)
tiff('white_is_zero.tif', np.asarray(base.convert('L')), 8, 0)
tiff('fourth_unspecified.tif', rgba_samples, 8, 2, extra=0)
tiff('premultiplied.tif', premultiplied, 8, 2, extra=1)

smooth = base.resize((32, 24), Image.BICUBIC)
smooth_alpha = smooth.convert('RGBA')
smooth_alpha.putalpha(alpha.resize((32, 24), Image.BICUBIC))
smooth.save('rgb444.avif', quality=95, subsampling='4:4:4')
smooth.save('rgb420.avif', quality=95, subsampling='4:2:0')
smooth.convert('L').save('grey.avif', quality=95)
smooth_alpha.save('rgba.avif', quality=95, subsampling='4:4:4')
smooth.save('turned.avif', quality=95, subsampling='4:4:4', exif=turned)
smooth.save('animated.avif', quality=95, subsampling='4:4:4', save_all=True, append_images=[smooth.rotate(180)])

base.save('animated.webp', save_all=True, lossless=True, append_images=[base.rotate(180)])
rgba.save('animated_alpha.webp', save_all=True, lossless=True, append_images=[rgba.rotate(180)])
base.save('one_colour_transparent.png', transparency=base.getpixel((3, 4)))
png('grey16_transparent.png', rng.integers(0, 400, (H, W)), 0, b'\0\x64')
base.convert('L').save('grey_transparent.png', transparency=base.convert('L').getpixel((3, 4)))
palette.save('palette_alpha.png', transparency=bytes(range(0, 256, 16)))
palette.save('transparent.gif', transparency=3)
drawing = Image.new('RGBA', (W, H), (0, 0, 0, 0))
drawing.paste((0, 0, 0, 255), (4, 3, 9, 8))
drawing.save('drawing.png')
levels = np.arange(256, dtype=np.uint8)
Image.fromarray(np.dstack(np.meshgrid(levels, levels)).copy(), 'LA').save('every_alpha.png')


def gif(name, at, size, transparent=None):
    """A GIF whose frame is smaller than its canvas."""
    frame = palette.crop((0, 0, *size))
    frame.save('frame.gif', transparency=transparent) if transparent is not None else frame.save('frame.gif')
    with open('frame.gif', 'rb') as f:
        data = bytearray(f.read())
    os.remove('frame.gif')
    data[6:10] = struct.pack('<HH', W, H)
    place = data.index(b',\0\0\0\0')
    data[place + 1:place + 5] = struct.pack('<HH', *at)
    with open(name, 'wb') as f:
        f.write(data)


base.convert('YCbCr').save('refused_ycbcr.tif')
base.save('refused_zstd.tif', compression='zstd')
gif('small_frame.gif', (5, 2), (8, 6))
gif('small_frame_transparent.gif', (5, 2), (8, 6), transparent=3)
gif('frame_beyond.gif', (12, 8), (8, 6))


def on_white(image):
    """Transparency laid on white, as transformers 5.24 does (convert_to_rgb in image_transforms.py)."""
    white = Image.new('RGBA', image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image.convert('RGBA')).convert('RGB')


expected = {}
for name in sorted(os.listdir('.')):
    if name in ('every_alpha.png', 'every_alpha_white.png') or name.endswith(('.py', '.json')) or name.startswith('refused'):
        continue
    image = Image.open(name)
    image.load()
    has_alpha = 'A' in image.getbands() or image.info.get('transparency') is not None
    values = dict(mode=image.mode, width=image.width, height=image.height, rgb=image.convert('RGB').tobytes().hex())
    if has_alpha:
        values['white'] = on_white(image).tobytes().hex()
    expected[name] = values
on_white(Image.open('every_alpha.png')).convert('L').save('every_alpha_white.png')
with open('expected.json', 'w') as f:
    json.dump(expected, f, indent=1)
    f.write('\n')

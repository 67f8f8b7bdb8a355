/**
 * Files that the page hands to the user.
 */

export function saveFile(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** The canvas on an opaque ground with a title, as PNG. */
export function savePng(name: string, canvas: HTMLCanvasElement, title: string): void {
  const style = getComputedStyle(document.documentElement);
  const scale = devicePixelRatio;
  const head = Math.round(28 * scale);
  const copy = document.createElement('canvas');
  copy.width = canvas.width;
  copy.height = canvas.height + head;
  const context = copy.getContext('2d')!;
  context.fillStyle = style.getPropertyValue('--ground');
  context.fillRect(0, 0, copy.width, copy.height);
  context.fillStyle = style.getPropertyValue('--ink');
  context.font = `600 ${13 * scale}px system-ui, sans-serif`;
  context.fillText(title, 12 * scale, 19 * scale);
  context.drawImage(canvas, 0, head);
  copy.toBlob((blob) => blob !== null && saveFile(name, blob), 'image/png');
}

/** A name for a file: letters, digits and dashes. */
export function fileName(text: string, ending: string): string {
  return `${text.replace(/[^\w-]+/g, '-').replace(/^-+|-+$/g, '') || 'chart'}.${ending}`;
}

/**
 * Part of the program of python_semantics.ts: the filter `tojson`, written as Python's json.dumps writes it.
 */
export const TO_JSON = String.raw`
  // --- JSON ---

  function json(value, { ascii, indent, separators, sorts }, depth = 0) {
    const [comma, colon] = separators || [indent === null ? ', ' : ',', ': '];
    const quote = (x) => {
      const plain = JSON.stringify(x);
      return ascii ? plain.replace(/[\x7f-\uffff]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0')) : plain;
    };
    const inside = (open, parts, close) => {
      if (indent === null || parts.length === 0) return open + parts.join(comma) + close;
      const line = (level) => '\n' + indent.repeat(level);
      return open + line(depth + 1) + parts.join(comma + line(depth + 1)) + line(depth) + close;
    };
    const nested = (x) => json(x, { ascii, indent, separators, sorts }, depth + 1);
    if (isText(value)) return quote(value.value);
    if (value instanceof Null) return 'null';
    if (value instanceof Bool) return String(value.value);
    if (value instanceof Int) return String(value.value);
    if (value instanceof Float) return floatText(value.value);
    if (value instanceof List && value.printed === undefined) return inside('[', value.value.map(nested), ']');
    if (value instanceof Dict) {
      const entries = [...value.value];
      if (sorts) entries.sort(([a], [b]) => orderOfTexts(a, b));
      return inside('{', entries.map(([key, x]) => quote(key) + colon + nested(x)), '}');
    }
    return fail('tojson of ' + kind(value) + ' is not possible');
  }
`;

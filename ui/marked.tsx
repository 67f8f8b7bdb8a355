/**
 * Text in which the words of a search stand out. The text is shown as it is: nothing in it is markup.
 */
export function Marked({ text, words }: { text: string; words: string }) {
  if (words === '') return <>{text}</>;
  const lower = text.toLowerCase();
  const sought = words.toLowerCase();
  // Lower case may change the length of a text; then places do not agree, and nothing is marked.
  if (lower.length !== text.length) return <>{text}</>;
  const parts = [];
  let from = 0;
  for (let at = lower.indexOf(sought); at >= 0; at = lower.indexOf(sought, from)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + sought.length)}</mark>);
    from = at + sought.length;
  }
  return (
    <>
      {parts}
      {text.slice(from)}
    </>
  );
}

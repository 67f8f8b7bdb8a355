/**
 * The style of the page of a run, light and dark.
 */

export const STYLE = `
:root { color-scheme: light dark; --ground: #fdfdfc; --ink: #1d1d1f; --faint: #66666b; --line: #e4e4e2; --accent: #0f766e; --bad: #b3401f; --warn: #8a6100 }
@media (prefers-color-scheme: dark) { :root { --ground: #161618; --ink: #e6e6e8; --faint: #9a9aa0; --line: #2e2e32; --accent: #4fd1c0; --bad: #f28a66; --warn: #e3b341 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums }
main { max-width: 70rem; margin: 0 auto; padding: 2rem 1.25rem 4rem }
h1 { font-size: 1.4rem; font-weight: 600; margin: 0 0 1.5rem; overflow-wrap: anywhere }
h2 { font-size: 1rem; font-weight: 600; margin: 0 0 .75rem }
h3 { font-size: .95rem; font-weight: 600; margin: 1.25rem 0 .5rem }
h4 { font-size: .85rem; font-weight: 600; margin: 0 0 .5rem; color: var(--faint) }
section { margin: 0 0 2.25rem; padding-top: 1.25rem; border-top: 1px solid var(--line) }
.faint, dt, summary { color: var(--faint) }
h3 .faint { font-weight: 400; font-size: .85rem }
.two { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 1rem 3rem; align-items: start }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem 1rem; margin: 0 }
dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap }
table { border-collapse: collapse; font-size: .875rem }
th, td { padding: .2rem 0 .2rem 1.5rem; vertical-align: top; border-bottom: 1px solid var(--line) }
th { font-weight: 400; text-align: left; color: var(--faint); padding-left: 0; overflow-wrap: anywhere }
.numbers td, .numbers thead th { text-align: right; white-space: nowrap; padding-left: 1.5rem }
.plain th { white-space: nowrap }
.plain td { white-space: pre-wrap; overflow-wrap: anywhere }
details { margin-top: .75rem }
summary { cursor: pointer; font-size: .875rem }
.verdicts { list-style: none; margin: 0; padding: 0 }
.verdicts li { border-left: 3px solid var(--line); padding-left: 1rem; margin-bottom: 1rem }
.verdicts h3 { margin: 0 0 .25rem }
.verdicts .severe { border-color: var(--bad) }
.verdicts .warning { border-color: var(--warn) }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1.25rem 1.5rem }
figure { margin: 0 }
figcaption { font-size: .875rem; overflow-wrap: anywhere }
svg { width: 100%; height: auto; display: block }
.grid { stroke: var(--line) }
.tick { fill: var(--faint); font-size: 11px }
.raw, .line { fill: none; stroke: var(--accent); stroke-width: 1.75; stroke-linejoin: round }
.raw { opacity: .3; stroke-width: 1 }
.dot { fill: var(--accent) }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); gap: 1.5rem }
article { border: 1px solid var(--line); border-radius: 6px; padding: 1rem; min-width: 0 }
article table { margin-top: .75rem }
.pictures { display: flex; flex-wrap: wrap; gap: .5rem; margin-bottom: .75rem }
.pictures p { margin: 0; font-size: .875rem }
.picture { position: relative; line-height: 0; width: 10rem }
.picture img { width: 100%; height: auto }
.picture .heat { position: absolute; inset: 0; height: 100%; image-rendering: pixelated }
@media (max-width: 48rem) { .two { grid-template-columns: minmax(0, 1fr) } }
@media print { details { display: none } article, figure, li { break-inside: avoid } }
`;

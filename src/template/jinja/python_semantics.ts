/**
 * Changes the interpreter of @huggingface/jinja so that templates render as with Jinja in Python (jinja2 3.1.6 with the options
 * of transformers' apply_chat_template): loops, macros, operators, printing, methods, filters, tests. Features that would still
 * render differently are refused by name. Knows the library's interpreter, not processes.
 */
import { FILTERS } from './filters.ts';
import { INTERPRETER } from './interpreter.ts';
import { LIBRARY_TYPES } from './library_types.ts';
import { METHODS } from './methods.ts';
import { OPERATORS } from './operators.ts';
import { TO_JSON } from './to_json.ts';
import { UNSUPPORTED_SYNTAX } from './unsupported_syntax.ts';
import { VALUES } from './values.ts';

/**
 * Plain CommonJS source for the program of render_process.ts. The files beside this one hold its parts, which share one scope.
 * `patchInterpreter(jinja, longestRange, limited)` changes the library; it calls `limited(reason)` for a list that is too long.
 * `parseTemplate(jinja, source)` returns a template. test/template/jinja has cases, and the script that renders them in Python.
 */
export const PYTHON_SEMANTICS = `
function unsupported(what, why = '') {
  throw Object.assign(new Error(what + ' is not supported here' + why), { unsupported: true });
}
function patchInterpreter(jinja, longestRange, limited) {
${[LIBRARY_TYPES, VALUES, OPERATORS, TO_JSON, METHODS, FILTERS, INTERPRETER].join('')}
}
${UNSUPPORTED_SYNTAX}
`;

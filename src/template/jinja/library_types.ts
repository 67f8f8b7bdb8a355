/**
 * First part of the program of python_semantics.ts: the classes of @huggingface/jinja for values and control flow. The library
 * does not export them, so they are taken from values that it makes.
 */
export const LIBRARY_TYPES = `
  const { Environment, Interpreter } = jinja;
  const sampler = new Interpreter();
  const scratch = new Environment();
  let samples = 0;
  const wrap = (value) => scratch.set('sample' + samples++, value);
  const [Int, Float, Str, Bool, Null, Undef, List, Dict, Fn] =
    [1, 1.5, '', true, null, undefined, [], {}, () => null].map((value) => wrap(value).constructor);
  const Tuple = sampler.evaluate({ type: 'TupleLiteral', value: [] }, scratch).constructor;
  const Namespace = scratch.lookupVariable('namespace').value([]).constructor;
  const classThrownBy = (type) => {
    try {
      sampler.evaluate({ type }, scratch);
    } catch (error) {
      return error.constructor;
    }
  };
  const [Break, Continue] = [classThrownBy('Break'), classThrownBy('Continue')];
  let Keywords; // the class of keyword arguments: the last value that a function gets when called with k=1
  scratch.setVariable('grab', new Fn(([last]) => {
    Keywords = last.constructor;
    return last;
  }));
  sampler.evaluate({
    type: 'CallExpression',
    callee: { type: 'Identifier', value: 'grab' },
    args: [{ type: 'KeywordArgumentExpression', key: { value: 'k' }, value: { type: 'IntegerLiteral', value: 1 } }],
  }, scratch);
  const fail = (reason) => {
    throw new Error(reason);
  };
`;

/**
 * Part of the program of python_semantics.ts: the library's interpreter with its methods overridden, and the functions range
 * and strftime_now.
 */
export const INTERPRETER = `
  // --- the interpreter ---

  const silent = new Set(['Set', 'Macro', 'Comment']);
  const described = (node) => (node.type === 'Identifier' ? node.value : node.type === 'MemberExpression' && !node.computed ? node.property.value : 'a value');
  function bind(target, value, scope) {
    if (target.type === 'Identifier') return void scope.setVariable(target.value, value);
    if (target.type !== 'TupleLiteral') unsupported('a loop over ' + target.type);
    const values = isUndef(value) ? fail('cannot unpack an undefined value') : items(value);
    if (values.length !== target.value.length)
      fail('too ' + (values.length < target.value.length ? 'few' : 'many') + ' values to unpack');
    target.value.forEach((part, i) => bind(part, values[i], scope));
  }
  const loopOf = (values, i, state) => new Dict(new Map(Object.entries({
    index: new Int(i + 1),
    index0: new Int(i),
    revindex: new Int(values.length - i),
    revindex0: new Int(values.length - i - 1),
    first: new Bool(i === 0),
    last: new Bool(i === values.length - 1),
    length: new Int(values.length),
    previtem: values[i - 1] || new Undef(),
    nextitem: values[i + 1] || new Undef(),
    depth: new Int(1),
    depth0: new Int(0),
    cycle: new Fn((args) => args[i % args.length] || fail('no items for cycling given')),
    changed: new Fn((args) => {
      const changed = state.last === undefined || !same(list(args), state.last);
      state.last = list(args);
      return new Bool(changed);
    }),
  })));
  const { evaluate, evaluateMacro, evaluateSliceExpression, evaluateSet } = Interpreter.prototype;
  Object.assign(Interpreter.prototype, {
    evaluateBlock(statements, environment) {
      let written = '';
      for (const statement of statements) {
        try {
          const value = this.evaluate(statement, environment);
          if (!silent.has(statement.type)) written += str(value);
        } catch (error) {
          // Text that an iteration wrote before break or continue is kept.
          if (error instanceof Break || error instanceof Continue) error.written = written + (error.written || '');
          throw error;
        }
      }
      return text(written);
    },
    evaluateFor(node, environment) {
      const hasTest = node.iterable.type === 'SelectExpression';
      const source = this.evaluate(hasTest ? node.iterable.lhs : node.iterable, environment);
      let values = items(source);
      if (hasTest) {
        values = values.filter((value) => {
          const scope = new Environment(environment);
          bind(node.loopvar, value, scope);
          return isTrue(this.evaluate(node.iterable.test, scope));
        });
      }
      let written = '';
      let hasCompletedOne = false;
      const state = {};
      for (const [i, value] of values.entries()) {
        const scope = new Environment(environment);
        scope.setVariable('loop', loopOf(values, i, state));
        bind(node.loopvar, value, scope);
        try {
          written += this.evaluateBlock(node.body, scope).value;
          hasCompletedOne = true;
        } catch (error) {
          if (!(error instanceof Break || error instanceof Continue)) throw error;
          written += error.written;
          if (error instanceof Break) break;
        }
      }
      // Jinja runs the else block unless at least one iteration reached its end.
      return hasCompletedOne ? text(written) : text(written + this.evaluateBlock(node.defaultBlock, environment).value);
    },
    evaluateSet(node, environment) {
      if (node.assignee.type === 'FilterExpression') return unsupported('a block of set with a filter');
      if (node.assignee.type !== 'TupleLiteral') return evaluateSet.call(this, node, environment);
      bind(node.assignee, this.evaluate(node.value, environment), environment);
      return new Null();
    },
    evaluateMacro(node, environment) {
      evaluateMacro.call(this, node, environment);
      const call = environment.variables.get(node.name.value);
      // A macro sees the names at its definition, not those at its call.
      const macro = new Fn((args, from) => {
        const scope = new Environment(environment);
        const caller = from && from.variables.get('caller');
        if (caller !== undefined) scope.setVariable('caller', caller);
        return call.value(args, scope);
      });
      environment.setVariable(node.name.value, macro);
      return new Null();
    },
    evaluateBinaryExpression(node, environment) {
      const left = this.evaluate(node.left, environment);
      const operator = node.operator.value;
      if (operator === 'and') return isTrue(left) ? this.evaluate(node.right, environment) : left;
      if (operator === 'or') return isTrue(left) ? left : this.evaluate(node.right, environment);
      return operate(operator, left, this.evaluate(node.right, environment));
    },
    evaluateTestExpression(node, environment) {
      const holds = testOf(node.test.value)(this.evaluate(node.operand, environment));
      return new Bool(holds !== node.negate);
    },
    applyFilter(operand, node, environment) {
      return node.type === 'Identifier'
        ? filtered(this, node.value, operand, [], environment)
        : filtered(this, node.callee.value, operand, node.args, environment);
    },
    evaluate(node, environment) {
      if (node !== undefined && node.type === 'ObjectLiteral') {
        const entries = [...node.value].map(([key, value]) => [this.evaluate(key, environment), this.evaluate(value, environment)]);
        if (!entries.every(([key]) => isText(key))) unsupported('a dict with a key that is not a text');
        return new Dict(new Map(entries.map(([key, value]) => [key.value, value])));
      }
      return evaluate.call(this, node, environment);
    },
    evaluateCallExpression(node, environment) {
      const called = this.evaluate(node.callee, environment);
      if (!(called instanceof Fn)) fail('calls ' + described(node.callee) + ', which is not a function here');
      const [args, named] = this.evaluateArguments(node.args, environment);
      if (named.size > 0) args.push(new Keywords(named));
      return called.value(args, environment);
    },
    evaluateMemberExpression(node, environment) {
      const object = this.evaluate(node.object, environment);
      if (isUndef(object)) fail(described(node.object) + ' is undefined');
      if (node.computed && node.property.type === 'SliceExpression') {
        const part = evaluateSliceExpression.call(this, object, node.property, environment);
        return object instanceof Tuple ? new Tuple(part.value) : part;
      }
      const property = node.computed || node.property.type === 'IntegerLiteral'
        ? this.evaluate(node.property, environment)
        : text(node.property.value);
      if (isText(property)) return member(object, property.value, node.computed);
      return property instanceof Int ? at(object, property) : new Undef();
    },
  });
  const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];
  const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
  function strftimeNow(format) {
    const now = new Date();
    const two = (x) => String(x).padStart(2, '0');
    const parts = { Y: now.getFullYear(), y: two(now.getFullYear() % 100), m: two(now.getMonth() + 1), d: two(now.getDate()),
      H: two(now.getHours()), I: two(now.getHours() % 12 || 12), M: two(now.getMinutes()), S: two(now.getSeconds()),
      p: now.getHours() < 12 ? 'AM' : 'PM', B: MONTHS[now.getMonth()], b: MONTHS[now.getMonth()].slice(0, 3),
      A: DAYS[now.getDay()], a: DAYS[now.getDay()].slice(0, 3), '%': '%' };
    return format.replace(/%(.?)/gs, (whole, mark) => (own(parts, mark) ? parts[mark] : unsupported('strftime_now with ' + whole)));
  }
  function rangeOf(args) {
    const numbers = args.map((x) => (x instanceof Int ? x.value : fail('range() of ' + kind(x))));
    const [start, stop, step = 1] = numbers.length === 1 ? [0, numbers[0]] : numbers;
    if (stop === undefined || numbers.length > 3) fail('range() takes one to three numbers');
    if (step === 0) fail('range() step must not be zero');
    const count = Math.max(0, Math.ceil((stop - start) / step));
    if (count > longestRange) limited('asks range() for ' + count + ' numbers, at most ' + longestRange + ' are given');
    const printed = () => 'range(' + start + ', ' + stop + (step === 1 ? ')' : ', ' + step + ')');
    return Object.assign(list(Array.from({ length: count }, (_, i) => new Int(start + i * step))), { printed });
  }
  const { set } = Environment.prototype;
  Environment.prototype.set = function (name, value) {
    if (typeof value !== 'function') return set.call(this, name, value);
    if (name === 'range') return this.setVariable(name, new Fn(rangeOf));
    if (name === 'strftime_now') return this.setVariable(name, new Fn(([format]) => text(strftimeNow(textOf(format, 'strftime_now()')))));
    return set.call(this, name, value);
  };
`;

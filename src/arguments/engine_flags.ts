/**
 * The choice of the program that trains, and the flags that only `--engine ms-swift` has.
 */
import { choice, ENGINES, integer, text } from './flag.ts';

export const engineFlag = {
  engine: choice(ENGINES, {
    group: 'Engine',
    default: 'sightline',
    spellings: { ms_swift: 'ms-swift', swift: 'ms-swift' },
    help: 'The program that trains: sightline, in one process on the CPU, or ms-swift 4.6, on any number of GPUs and machines, with the rewards of sightline (docs/ms_swift.md).',
    msSwift: { readHere: true },
  }),
} as const;

/** Flags that `sightline rlhf` has only with `--engine ms-swift`. */
export const msSwiftFlags = {
  engine_python: text({
    group: 'Engine',
    default: 'python3',
    env: 'SIGHTLINE_ENGINE_PYTHON',
    metavar: 'PROGRAM',
    help: 'The Python program in which ms-swift is installed.',
    engine: 'ms-swift',
    msSwift: { readHere: true },
  }),
  nproc_per_node: integer({
    group: 'Engine',
    default: null,
    unset: 'one process, without torchrun',
    min: 1,
    unit: 'processes',
    env: 'NPROC_PER_NODE',
    help: 'Processes on this machine, one per GPU. --per_device_train_batch_size is per process.',
    engine: 'ms-swift',
    msSwift: { env: 'NPROC_PER_NODE' },
  }),
  nnodes: integer({
    group: 'Engine',
    default: null,
    unset: '1',
    min: 1,
    unit: 'machines',
    env: 'NNODES',
    help: 'Machines. Start the same command on each of them, with another --node_rank.',
    engine: 'ms-swift',
    msSwift: { env: 'NNODES' },
  }),
  node_rank: integer({
    group: 'Engine',
    default: null,
    unset: '0',
    min: 0,
    env: 'NODE_RANK',
    help: 'Number of this machine, from 0.',
    engine: 'ms-swift',
    msSwift: { env: 'NODE_RANK' },
  }),
  master_addr: text({
    group: 'Engine',
    default: null,
    unset: '127.0.0.1',
    metavar: 'HOST',
    env: 'MASTER_ADDR',
    help: 'Address of the machine with --node_rank 0.',
    engine: 'ms-swift',
    msSwift: { env: 'MASTER_ADDR' },
  }),
  master_port: integer({
    group: 'Engine',
    default: null,
    unset: '29500',
    min: 1,
    max: 65535,
    env: 'MASTER_PORT',
    help: 'Port on that machine through which the processes find each other.',
    engine: 'ms-swift',
    msSwift: { env: 'MASTER_PORT' },
  }),
} as const;

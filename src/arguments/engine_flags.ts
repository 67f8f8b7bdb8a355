/**
 * Which program trains, and how many processes of it: the flags of `--engine ms-swift`.
 */
import { choice, ENGINES, integer, text } from './flag.ts';

export const engineFlag = {
  engine: choice(ENGINES, {
    group: 'Engine',
    default: 'sightline',
    spellings: { ms_swift: 'ms-swift', swift: 'ms-swift' },
    help: 'What trains: this program, in one process on the CPU, or ms-swift 4.6, on GPUs of any number of machines, with the rewards of this program (docs/ms_swift.md).',
    msSwift: { readHere: true },
  }),
} as const;

/** Flags of the command with `--engine ms-swift`, beside those that it has anyway. */
export const msSwiftFlags = {
  engine_python: text({
    group: 'Engine',
    default: 'python3',
    env: 'SIGHTLINE_ENGINE_PYTHON',
    metavar: 'PROGRAM',
    help: 'Python that ms-swift is installed in.',
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
    help: 'Processes on this machine, one a GPU. --per_device_train_batch_size counts for each of them.',
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
    help: 'Machines; the same command is started on each, with its own --node_rank.',
    engine: 'ms-swift',
    msSwift: { env: 'NNODES' },
  }),
  node_rank: integer({
    group: 'Engine',
    default: null,
    unset: '0',
    min: 0,
    env: 'NODE_RANK',
    help: 'Which of the machines this is, from 0.',
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
    help: 'Port on it by which the processes find each other.',
    engine: 'ms-swift',
    msSwift: { env: 'MASTER_PORT' },
  }),
} as const;

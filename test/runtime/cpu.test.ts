import { cpu } from '../../src/runtime/cpu.ts';
import { describeDevice } from './device_contract.ts';

describeDevice('cpu', () => cpu);

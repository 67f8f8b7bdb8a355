/**
 * Watches resident memory from another thread, because kernels block this one.
 */
import { Worker } from 'node:worker_threads';

/** Starts the watch. The returned function ends it and resolves to the largest number of bytes seen. */
export function watchRss(): () => Promise<number> {
  const peak = new Float64Array(new SharedArrayBuffer(8));
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads');
     setInterval(() => { workerData[0] = Math.max(workerData[0], process.memoryUsage.rss()); }, 1);`,
    { eval: true, workerData: peak },
  );
  return async () => {
    await worker.terminate();
    return Math.max(peak[0]!, process.memoryUsage.rss());
  };
}

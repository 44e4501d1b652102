/** On what the figures were measured. */
import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'

export function machineNow() {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    system: `${process.platform} ${release()}`,
    /** Whatever else runs takes from the figures: of 1, 5 and 15 minutes before the start. */
    loadAverage: loadavg().map((load) => Number(load.toFixed(2))),
  }
}

export function versionsOf(postgres: string) {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return { weft: version, node: process.version, postgres }
}

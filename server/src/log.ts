/**
 * Log lines: JSON on stderr (stdout belongs to the CLI), or lines for people when a terminal asks for them. The fields
 * that readers filter by have the same names everywhere: `part`, `runId`, `stepKey`, `code`.
 *
 * Secrets never reach a line (R14): whoever logs an error of a worker logs its redacted text.
 */
import { type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino'

export type Log = Logger

export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export const LOG_FORMATS = ['json', 'text'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

export interface LogSettings {
  readonly level: LogLevel
  readonly format: LogFormat
}

interface LineDestination {
  write(line: string): void
}

export function createLog(settings: LogSettings, destination: LineDestination = process.stderr): Log {
  return pino(
    {
      level: settings.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: stdSerializers.err },
    },
    settings.format === 'text' ? { write: (line) => destination.write(readable(line)) } : destination,
  )
}

/** `12:30:01 warn  coordinator  sentence  runId=…`, the error's stack on lines of its own. */
function readable(line: string): string {
  const { level, time, part, msg, error, ...fields } = JSON.parse(line) as Record<string, unknown>
  const rest = Object.entries(fields).map(
    ([key, value]) => `  ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const stack = typeof error === 'object' && error !== null ? (error as { stack?: unknown }).stack : undefined
  const trace = typeof stack === 'string' ? `\n${stack}` : ''
  return `${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${part ? `${part}: ` : ''}${msg ?? ''}${rest.join('')}${trace}\n`
}

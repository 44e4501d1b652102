/** The `format`s that are checked; every other one is a remark. Each test is linear in the text. */
import { parseTime } from '../duration.ts'

const DATE = /^\d{4}-\d{2}-\d{2}$/
const DATE_TIME = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$/
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const URI = /^[a-z][a-z0-9+.-]*:[^\s]+$/i
const EMAIL = /^[^\s@]{1,64}@[^\s@.]+(?:\.[^\s@.]+)*$/

export const FORMATS: Record<string, (text: string) => boolean> = {
  date: (text) => DATE.test(text) && parseTime(text) !== null,
  'date-time': (text) => DATE_TIME.test(text) && parseTime(text.slice(0, 10)) !== null,
  email: (text) => text.length <= 320 && EMAIL.test(text),
  uri: (text) => URI.test(text),
  uuid: (text) => UUID.test(text),
}

/** The pages that are one table: configuration, metrics, functions of expressions. */
import { functions } from '@weft/engine'
import { SETTINGS } from '../../server/src/config.ts'
import { createMetrics, METRICS } from '../../server/src/metrics.ts'
import { code, page, table } from './markdown.ts'

const DEFAULTS: Readonly<Record<string, string>> = {
  WEFT_DATA_DIR: 'the nearest `.weft` upward, else `~/.weft`; `./.weft` for `npm start` and `weft dev`',
  WEFT_DATABASE_URL: 'its own PostgreSQL 18',
  WEFT_API_KEY: 'made at the first start, in the data directory’s `api-key`',
  WEFT_MASTER_KEY: 'made at the first start, in the data directory’s `master-key`',
  WEFT_EGRESS_ALLOW: 'nothing',
}

export function configurationPage(): string {
  return page(
    'Configuration',
    'By environment variables; flags of `weft serve` and `weft dev` win over them. All values are checked at the start, and every problem is named at once. `weft doctor` prints what is in force, secrets hidden. A variable that begins with `WEFT_` and is not known earns a warning.',
    table(
      ['variable', 'default', 'meaning'],
      Object.values(SETTINGS).map(({ variable, default: value, meaning }) => [
        code(variable),
        value ? code(value) : (DEFAULTS[variable] ?? 'unset'),
        meaning,
      ]),
    ),
    '`WEFT_CREDENTIAL_<NAME>`: a credential, as a JSON object. A node that says `credential: team_slack` gets `WEFT_CREDENTIAL_TEAM_SLACK`; what must be in it is with the type in [nodes.md](nodes.md). Values never enter expressions, events, tasks or logs. It holds for every workspace, and wins over a stored credential of the same name (`weft credentials`).',
    'Stored credentials are encrypted (AES-256-GCM) under `WEFT_MASTER_KEY`, or under the key in the file `master-key` of the data directory. To replace a key, write the new one before the old one (`<new>,<old>`, in the file one per line) and start Weft: what the old one encrypted is encrypted again under the new one, a log line says so, and the old one can go. A key in `WEFT_MASTER_KEY` replaces that of the file in the same way. Back the key up apart from the database: without it nobody can read the credentials, and with both anybody can.',
    '`WEFT_RATE_LIMITS` counts calls that start work (runs, forks, retries, replays of dead letters) within any 60 seconds, in three layers: `global`, for all keys together; `key`, for each key; `tiers`, for each key and workflows with so many agent nodes. `tiers` is `{"tiers":{"1":20,"3":5}}`, `strict` is `{"global":100,"key":50,"tiers":{"0":100,"1":20,"3":5}}`. A call that one layer has no room for counts in none, and is answered with 429, which names the layer, the figure and when to come again. Every answer of such a call says in `RateLimit-Limit`, `-Remaining` and `-Reset` what is left of the layer that has the least. A retry or replay by filter counts once for each run of its page: it is done for those that fit, and `refused` in its answer names the others with the reason; they stay as they were, and the same call finds them again. A dry run counts nothing.',
    '`WEFT_EGRESS_ALLOW` holds entries `host`, `host:port`, a CIDR or `host/path`, separated by commas. Without it, private and local addresses are refused.',
    'The Redis of `WEFT_REDIS_URL` needs no persistence: it may be emptied, restarted or replaced at any moment, and what is owed is published again within seconds. It must not throw keys away when its memory is full (`maxmemory-policy noeviction`). Installations may share one, since keys begin with the identity of the database. With `rediss://`, the authority of a certificate of your own stands in the file that `NODE_EXTRA_CA_CERTS` names.',
    '`WEFT_URL` and `WEFT_API_KEY` tell the CLI where its server is.',
    'With `WEFT_START_PAUSED=true` a process takes no task and no signal and fires no timer until `weft resume --all`; submits, decisions and cancels are stored meanwhile. Each start with the setting begins a hold of its own. Where roles run in several processes, set it for all of them before any starts: one without it works as always. `weft why`, `weft doctor` and `/readyz` say who is held.',
  )
}

export async function metricsPage(): Promise<string> {
  const kinds = new Map(
    [...(await createMetrics().text()).matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, kind]) => [
      name,
      kind,
    ]),
  )
  return page(
    'Metrics',
    'In Prometheus’s text format at `GET /metrics`: with an API key, or without one from the same machine. Beside these stand the usual ones of the process (`process_*`, `nodejs_*`).',
    table(
      ['name', 'kind', 'what it says'],
      Object.entries(METRICS).map(([name, meaning]) => [code(name), kinds.get(name) ?? '', meaning]),
    ),
  )
}

export function expressionsPage(): string {
  const rows = (kind: 'function' | 'macro') =>
    functions
      .filter((one) => one.kind === kind)
      .map(({ signature, description, example, result }) => [
        code(signature),
        description,
        `${code(example)}${result === undefined ? '' : ` → ${code(JSON.stringify(result))}`}`,
      ])
  return page(
    'Expressions',
    'The syntax and macros of CEL over JSON values. In text they stand in `${{ … }}`: a string that is one expression yields its value with its type, text around it interpolates (`null` as nothing), and `$${{` is a literal `${{`. `when` and `until` hold a bare expression.',
    'In scope: `input`, `steps.<id>.output`, `.status` and `.error` of steps before this one, `item` and `index` in a `forEach`, `run.id`, `run.startedAt`, `run.labels`, `workflow.name`, `vars.<name>`. Secrets never are.',
    [
      '- There is one kind of number: `7 / 2` is `3.5`, and `1 + input.count` works.',
      '- `+` joins text and numbers. Ternaries and lists may mix types.',
      '- Selecting from `null` is `null`; ordering against `null` is false.',
      '- A missing key is an error that names the nearest key; `has(x.y)` and `default(x.y, 0)` ask first.',
      '- The output of a step that was skipped, or failed and was handled, is `null`.',
      '- An evaluation stops at 100,000 iterations, and macros nest at most three deep.',
    ].join('\n'),
    '## Functions',
    table(['call', 'what it yields', 'example'], rows('function')),
    '## Macros',
    table(['call', 'what it yields', 'example'], rows('macro')),
  )
}

/**
 * The deployment files against the code that they start: no Docker is needed to see that a setting, a port, a path or a
 * secret that they name is not there.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { readConfig, SETTINGS } from '../../src/config.ts'

const root = join(import.meta.dirname, '..', '..', '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

interface Service {
  readonly image: string
  readonly restart?: string
  readonly stop_grace_period?: string
  readonly environment: Readonly<Record<string, string>>
  readonly ports?: readonly string[]
  readonly healthcheck?: unknown
  readonly volumes?: readonly string[]
  readonly depends_on?: Readonly<Record<string, unknown>>
}

const SECRETS: Readonly<Record<string, string>> = {
  POSTGRES_PASSWORD: 'a'.repeat(48),
  REDIS_PASSWORD: 'b'.repeat(48),
  WEFT_API_KEY: `weft_${'c'.repeat(48)}`,
  WEFT_MASTER_KEY: 'd'.repeat(64),
}

const compose = parse(read('compose.yaml'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}
const weft = Object.entries(compose.services).filter(([, { image }]) => image.startsWith('weft:'))
const dockerfile = read('Dockerfile')
const image = Object.fromEntries(
  [...dockerfile.matchAll(/\b(WEFT_\w+)=(\S+)/g)].map(([, name, value]) => [name, value]),
)

/** As compose does it: what a service gets, secrets and the image's own variables included. */
const environmentOf = ({ environment }: Service): Record<string, string> => ({
  ...image,
  ...Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [
      name,
      value.replaceAll(/\$\{(\w+):\?[^}]*\}/g, (_, secret: string) => SECRETS[secret] ?? ''),
    ]),
  ),
})

describe('compose.yaml', () => {
  test('has a service for every role, with settings that Weft takes without a word', () => {
    expect(weft.map(([name]) => name)).toEqual(['api', 'coordinator', 'worker'])
    for (const [name, service] of weft) {
      const result = readConfig({ environment: environmentOf(service) })
      expect(result).toMatchObject({ ok: true, warnings: [] })
      if (result.ok) expect([...result.config.roles]).toEqual([name])
    }
  })

  test('names no setting that is not in force', () => {
    const settings = Object.values(SETTINGS)
    for (const name of weft.flatMap(([, service]) => Object.keys(environmentOf(service)))) {
      const setting = settings.find(({ variable }) => variable === name)
      expect(setting, name).toBeDefined()
      expect(setting, name).not.toHaveProperty('later')
    }
  })

  test('asks for exactly the secrets that .env.example lists, and holds none', () => {
    const listed = [...read('.env.example').matchAll(/^(\w+)=(.*)$/gm)]
    expect(listed.map(([, , value]) => value).join('')).toBe('')
    const asked = new Set([...read('compose.yaml').matchAll(/\$\{(\w+):\?/g)].map(([, name]) => name))
    expect(listed.map(([, name]) => name).toSorted()).toEqual([...asked].toSorted())
    expect(Object.keys(SECRETS).toSorted()).toEqual([...asked].toSorted())
    expect(read('.gitignore').split('\n')).toContain('.env')
  })

  test('publishes the port on which the API listens, to this machine only', () => {
    const published = Object.values(compose.services).flatMap(({ ports }) => ports ?? [])
    expect(published).toEqual([`127.0.0.1:${image.WEFT_PORT}:${image.WEFT_PORT}`])
  })

  test('starts every service again, and gives each the time to stop in order', () => {
    for (const [name, service] of Object.entries(compose.services)) {
      expect(service.restart, name).toBe('unless-stopped')
      expect(service.stop_grace_period, name).toMatch(/^\d+s$/)
      for (const other of Object.keys(service.depends_on ?? {}))
        expect(compose.services[other]?.healthcheck, other).toBeDefined()
      for (const volume of service.volumes ?? [])
        expect(compose.volumes).toHaveProperty([volume.split(':')[0] ?? ''])
    }
  })
})

describe('Dockerfile', () => {
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(
    ([, paths]) => paths?.split(' ') ?? [],
  )

  test('copies what is there, and .dockerignore lets it through', () => {
    expect(copied).not.toHaveLength(0)
    const letThrough = read('.dockerignore').matchAll(/^!(.+)$/gm)
    expect([...letThrough].map(([, path]) => path).toSorted()).toEqual([...new Set(copied)].toSorted())
    for (const path of copied) expect(existsSync(join(root, path)), path).toBe(true)
  })

  test('runs the program of this repository as somebody else than root, and asks for its health', () => {
    const [, program] = /^ENTRYPOINT \["node", "(.+)"\]$/m.exec(dockerfile) ?? []
    expect(existsSync(join(root, program ?? ''))).toBe(true)
    expect(dockerfile).toMatch(/^USER node$/m)
    expect(dockerfile).toMatch(/^HEALTHCHECK /m)
    const major = /^FROM node:(\d+)/m.exec(dockerfile)?.[1]
    const { dependencies } = JSON.parse(read('package.json')) as { dependencies: { node: string } }
    expect(dependencies.node).toMatch(new RegExp(`^\\^${major}\\.`))
  })
})

test('the hosted checks run the script that guards main', () => {
  const { jobs } = parse(read('.github/workflows/ci.yml')) as {
    jobs: Record<string, { steps: { run?: string }[] }>
  }
  expect(jobs.check?.steps.map(({ run }) => run)).toContain('.ci/run')
  expect(existsSync(join(root, '.ci/run'))).toBe(true)
})

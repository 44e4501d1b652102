/** Real payloads of GitHub webhooks, from the package `@octokit/webhooks-examples`. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { problem, type Route, route } from './call.ts'

interface Definition {
  name: string
  examples: { action?: string }[]
}

interface GithubEvent {
  event: string
  payload: { action?: string }
}

let definitions: Map<string, Definition> | undefined

/** Read when first asked for: four megabytes that most examples do not need. */
function known(): Map<string, Definition> {
  if (definitions === undefined) {
    const file = createRequire(import.meta.url).resolve('@octokit/webhooks-examples')
    const list = JSON.parse(readFileSync(file, 'utf8')) as Definition[]
    definitions = new Map(list.map((definition) => [definition.name, definition]))
  }
  return definitions
}

/** `issues` is the first payload of the event, `issues.closed` the first with that action. */
function eventOf(name: string): GithubEvent | undefined {
  const [event, action] = name.split('.', 2) as [string, string | undefined]
  const examples = known().get(event)?.examples ?? []
  const payload = action === undefined ? examples[0] : examples.find((example) => example.action === action)
  return payload && { event, payload }
}

const DEFAULT_NAMES = [
  'issues.opened',
  'pull_request.opened',
  'push',
  'release.published',
  'star.created',
  'ping',
]

export const githubRoutes = (): Route[] => [
  route('GET', '/github/events', ({ query }) => {
    const names = query.get('names')?.split(',').filter(Boolean) ?? DEFAULT_NAMES
    const events = names.map((name) => eventOf(name))
    const missing = names.filter((_, index) => events[index] === undefined)
    if (missing.length > 0) return problem(404, `GitHub's examples have no ${missing.join(', ')}`)
    return { body: events }
  }),
  route('GET', '/github/events/:name', ({ params }) => {
    const event = eventOf(params.name!)
    return event === undefined ? problem(404, `GitHub's examples have no ${params.name}`) : { body: event }
  }),
]

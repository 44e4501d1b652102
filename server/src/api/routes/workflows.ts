/** Workflows: named, versioned definitions. A version never changes; a tag moves. */
import { isObject, type Json, workflowJsonSchema } from '@weft/engine'
import type { StoredWorkflow } from '../../store/store.ts'
import type { Answer, Call, Handlers } from '../call.ts'
import type { Document } from '../definitions.ts'
import { ApiError } from '../errors.ts'
import { recall, remember } from '../idempotency.ts'
import type { HandlerParts } from '../parts.ts'

type WorkflowRoute =
  | 'createWorkflow'
  | 'validateWorkflow'
  | 'listWorkflows'
  | 'getWorkflow'
  | 'createWorkflowVersion'
  | 'listWorkflowVersions'
  | 'tagWorkflow'
  | 'deleteWorkflow'
  | 'workflowSchema'

export function workflowHandlers(parts: HandlerParts): Handlers<WorkflowRoute> {
  const { store, definitions } = parts
  return {
    createWorkflow: (call) => push(parts, call, 'POST /workflows', null),
    createWorkflowVersion: (call) =>
      push(parts, call, `POST /workflows/${call.params.reference}/versions`, call.params.reference),
    validateWorkflow(call) {
      const checked = definitions.check(documentOf(call.body))
      const body = checked.ok
        ? {
            valid: true,
            problems: [],
            warnings: checked.warnings,
            name: checked.graph.definition.name,
            graph: checked.graph.hash,
          }
        : { valid: false, problems: checked.problems, warnings: [], name: null, graph: null }
      return { status: 200, body }
    },
    async listWorkflows({ principal, query }) {
      const page = await store.workflows.list({ workspace: principal.workspace, ...query })
      return { status: 200, body: { items: page.items.map(summaryOf), nextCursor: page.nextCursor } }
    },
    async getWorkflow({ principal, params }) {
      const workflow = await find(parts, principal.workspace, params.reference)
      return {
        status: 200,
        body: { ...summaryOf(workflow), source: workflow.source, definition: workflow.definition },
      }
    },
    async listWorkflowVersions({ principal, params }) {
      const { name } = await find(parts, principal.workspace, params.reference)
      const versions = await store.workflows.versions({ workspace: principal.workspace, name })
      return { status: 200, body: { items: versions.map(summaryOf), nextCursor: null } }
    },
    async tagWorkflow({ principal, params, body }) {
      const { workspace } = principal
      const { reference: name, tag } = params
      if (!/^[a-z][a-z0-9_.-]{0,62}$/i.test(tag) || tag === 'latest') {
        throw ApiError.of(
          'invalid_request',
          `\`${tag}\` cannot be set as a tag: a tag begins with a letter, has letters, digits and \`_ . -\`, and \`latest\` always names the newest version. Choose another.`,
        )
      }
      const tagged = await store.workflows.tag({ workspace, name, tag, version: body.version })
      definitions.forget(workspace, name)
      if (tagged) return { status: 200, body: summaryOf(await find(parts, workspace, `${name}@${tag}`)) }
      throw ApiError.of(
        'workflow_not_found',
        `This workspace has no version ${body.version} of a workflow \`${name}\`. List the versions with GET /workflows/${name}/versions.`,
      )
    },
    async deleteWorkflow({ principal, params }) {
      const { workspace } = principal
      const { name } = await find(parts, workspace, params.reference)
      await store.workflows.delete({ workspace, name })
      definitions.forget(workspace, name)
      return { status: 204 }
    },
    workflowSchema: () => ({
      status: 200,
      body: workflowJsonSchema(),
      headers: { 'content-type': 'application/schema+json' },
    }),
  }
}

function summaryOf({ name, version, tags, graph, description, createdAt }: StoredWorkflow) {
  return { name, version, tags, graph, description, createdAt }
}

function documentOf(body: Call<'createWorkflow'>['body']): Document {
  const { definition, source } = body
  if ((definition === undefined) === (source === undefined)) {
    const found = definition === undefined ? 'neither is there' : 'both are there'
    throw ApiError.of(
      'invalid_request',
      `The body must have either \`definition\` (JSON) or \`source\` (YAML or JSON text); ${found}. YAML may also be sent as it is, with Content-Type: application/yaml.`,
    )
  }
  return source === undefined ? { definition: definition as Json } : { source }
}

async function find({ store }: HandlerParts, workspace: string, reference: string): Promise<StoredWorkflow> {
  const workflow = await store.workflows.get({ workspace, reference })
  if (workflow) return workflow
  throw ApiError.of(
    'workflow_not_found',
    `This workspace has no workflow \`${reference}\`. List what there is with GET /workflows (weft workflows list).`,
  )
}

/** `expectedName`: the path says which workflow the next version is of. */
async function push(
  parts: HandlerParts,
  call: Call<'createWorkflow'> | Call<'createWorkflowVersion'>,
  route: string,
  expectedName: string | null,
): Promise<Answer> {
  const { workspace } = call.principal
  const keyed =
    call.idempotencyKey === undefined ? null : { workspace, route, key: call.idempotencyKey, body: call.body }
  const before = keyed && (await recall(parts.store, keyed))
  if (before) return { status: 200, body: before }
  const document = documentOf(call.body)
  const { graph, definition, warnings } = parts.definitions.compile(document)
  const { name, description } = definition
  if (expectedName !== null && name !== expectedName) {
    throw ApiError.of(
      'invalid_request',
      `The definition’s name is \`${name}\`, and the path says \`${expectedName}\`. Change one of them; nothing was stored.`,
    )
  }
  await parts.graphs.ensureStored(graph)
  const { version, created } = await parts.store.workflows.push({
    workspace,
    name,
    graph: graph.hash,
    definition: definition as unknown as Json,
    source: 'source' in document ? document.source : null,
    description: description ?? null,
    tags: call.body.tags ?? [],
    at: parts.clock.now(),
  })
  parts.definitions.forget(workspace, name)
  const answer = { name, version, created, graph: graph.hash, warnings: warnings as unknown as Json }
  const body = keyed ? await remember(parts.store, parts.clock, keyed, answer) : answer
  const isOlder = isObject(body) && body.version !== version
  return {
    status: created && !isOlder ? 201 : 200,
    body,
    headers: { location: `/api/v1/workflows/${name}@${version}` },
  }
}

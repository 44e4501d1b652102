import { Validator } from '@seriousme/openapi-schema-validator'
import { expect, test } from 'vitest'
import { PROBLEMS } from '../../src/api/errors.ts'
import { openApiDocument } from '../../src/api/openapi.ts'
import { ACTS, apiWorld, workflow } from './world.ts'

test('the document is what a public validator takes for OpenAPI 3.1, every reference resolved', async () => {
  const validator = new Validator()
  const document = openApiDocument('1.2.3')
  expect(await validator.validate(structuredClone(document))).toEqual({ valid: true })
  expect(validator.version).toBe('3.1')
  const names = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)]
  expect(names.length).toBeGreaterThan(50)
  for (const [, kind = '', name = ''] of names) {
    expect((document.components as Record<string, object>)[kind]).toHaveProperty(name)
  }
})

test('the server hands it out without a key, and as a page that loads nothing from anywhere', async () => {
  const world = await apiWorld({ coordinator: false })
  const document = await world.get('/openapi.json', { key: null })
  expect([document.status, document.body.openapi, document.body.info.version]).toEqual([
    200,
    '3.1.0',
    '0.0.0',
  ])
  const page = await world.get('/docs', { key: null })
  expect([page.status, page.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
  expect(page.headers['content-security-policy']).toContain("default-src 'none'")
  expect(page.text).not.toMatch(/<script|<link|<img|src=|@import|url\(|https?:/)
  for (const [path, methods] of Object.entries<object>(document.body.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      expect(page.text).toContain(`<article id="${operation.operationId}">`)
      expect(page.text).toContain(`${method.toUpperCase()} ${path}`)
    }
  }
  for (const [, target] of page.text.matchAll(/href="#([^"]+)"/g))
    expect(page.text).toContain(`id="${target}"`)
})

test('every status that a problem has stands in the document with its codes', () => {
  const { responses } = openApiDocument('1.2.3').components as {
    responses: Record<string, { description: string }>
  }
  for (const [code, [status]] of Object.entries(PROBLEMS)) {
    expect(responses[`Problem${status}`]?.description).toContain(`\`${code}\``)
  }
})

test('what is required of a body is what the server requires', async () => {
  const world = await apiWorld({ coordinator: false })
  const { body } = await world.get('/openapi.json')
  const required = Object.values<
    Record<string, { operationId: string; requestBody?: { required: boolean } }>
  >(body.paths)
    .flatMap((methods) => Object.values(methods))
    .filter(({ requestBody }) => requestBody?.required)
    .map(({ operationId }) => operationId)
  expect(required).toEqual(expect.arrayContaining(['submitRun', 'createWorkflow', 'decideApproval']))
  expect(required).not.toContain('cancelRun')
  expect((await world.post('/runs')).status).toBe(422)
  const { body: run } = await world.post('/runs', { definition: workflow(ACTS) })
  expect(run.id).toBeTypeOf('string')
})

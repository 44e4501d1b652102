import { expect, test } from 'vitest'
import { pathSegments, sensitivePath } from '../../src/egress/path.ts'

const sensitive = (path: string): string | undefined =>
  sensitivePath(pathSegments(new URL(`http://x${path}`).pathname))

test.each([
  ['/.env', '/.env'],
  ['/app/.env', '/app/.env'],
  ['/.env.production', '/.env.production'],
  ['/.git/config', '/.git'],
  ['/.aws/credentials', '/.aws'],
  ['/admin', '/admin'],
  ['/admin/', '/admin'],
  ['/admin/users?x=1', '/admin'],
  ['/api/keys', '/api/keys'],
  ['/api/keys/1', '/api/keys'],
  ['/latest/meta-data/iam', '/latest/meta-data'],
  ['/ADMIN', '/admin'],
  ['/%61dmin', '/admin'],
  ['/%2561dmin', '/admin'],
  ['//admin', '/admin'],
  ['/./admin', '/admin'],
  ['/x/../admin', '/admin'],
  ['/x%2f..%2fadmin', '/admin'],
  ['/x/..;/admin', '/admin'],
  ['/api%2Fkeys', '/api/keys'],
  ['/api%5Ckeys', '/api/keys'],
  ['\\admin', '/admin'],
  ['/admin;session=1', '/admin'],
  ['/admin%00.html', '/admin'],
  ['/admin%20', '/admin'],
  ['/admin.', '/admin'],
  ['/%EF%BD%81dmin', '/admin'],
  ['/%ff%61dmin/../.env', '/.env'],
])('%s is sensitive', (path, place) => expect(sensitive(path)).toBe(place))

test.each([
  '/',
  '/administrator',
  '/orders/admin',
  '/environment',
  '/x.env',
  '/api/keyboards',
  '/api/v2/keys',
  '/git',
  '/search?path=/admin',
  '/%zz',
  '/100%',
])('%s is an ordinary path', (path) => expect(sensitive(path)).toBeUndefined())

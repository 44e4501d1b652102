/**
 * What a handler gets and gives: the checked request, and an answer as data. Handlers never see Fastify, except for a
 * stream, which takes the connection over.
 */
import type { FastifyReply } from 'fastify'
import type { z } from 'zod'
import type { ROUTES, RouteContract, RouteName } from './contract.ts'
import type { Role, WORKER_ROLE } from './schemas.ts'

export interface Principal {
  readonly workspace: string
  /** How the log names who acts: `key:<name>`. */
  readonly actor: string
  readonly role: Role | typeof WORKER_ROLE
  /** The task types that a worker's key is for; `null`: all. */
  readonly taskTypes: readonly string[] | null
  /** Id of the key that calls; `null` for calls that need none. */
  readonly keyId: string | null
}

/** Who calls, and a way to speak in the headers of whatever is answered, good or bad. */
export interface Caller {
  readonly principal: Principal
  setHeaders(headers: Readonly<Record<string, string>>): void
}

type Output<Schema> = Schema extends z.ZodType ? z.output<Schema> : undefined
type Field<Contract extends RouteContract, Name extends keyof RouteContract> =
  Contract extends Record<Name, infer Value> ? Value : undefined

type Parameters<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? Name | Parameters<Rest>
  : Path extends `${string}:${infer Name}`
    ? Name
    : never

export interface Call<Name extends RouteName = RouteName> extends Caller {
  readonly params: Readonly<Record<Parameters<(typeof ROUTES)[Name]['path']>, string>>
  readonly query: Output<Field<(typeof ROUTES)[Name], 'query'>>
  readonly body: Output<Field<(typeof ROUTES)[Name], 'body'>>
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** From the `Idempotency-Key` header. */
  readonly idempotencyKey: string | undefined
  /** Fires when the caller has gone. */
  gone(): AbortSignal
}

export type Answer =
  | { readonly status: number; readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> }
  | { readonly stream: (reply: FastifyReply) => Promise<void> }

export type Handler<Name extends RouteName> = (call: Call<Name>) => Promise<Answer> | Answer
export type Handlers<Name extends RouteName = RouteName> = { readonly [Key in Name]: Handler<Key> }

/**
 * The node types that this process knows: Weft's own, and those of the modules in the folder that `WEFT_NODES` names.
 *
 * Owns loading and reloading of those modules. A file that fails to load takes nothing else down: its types are missing,
 * and a problem says why. Its last good version stays while a reload fails.
 */
import { type FSWatcher, watch } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { registerHooks } from 'node:module'
import { basename, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { CONTROL_NODE_TYPES, type NodeTypeInfo, type NodeTypes } from '@weft/engine'
import type { Clock } from '../clock.ts'
import { isNodeType } from './define-node.ts'
import type { NodeType } from './node-type.ts'

export interface ModuleProblem {
  readonly file: string
  /** What is wrong and what to do, in full sentences. */
  readonly message: string
}

export interface NodeRegistry {
  /** The types that workers of this process perform. */
  get(type: string): NodeType | undefined
  /** Names of the types that workers of this process perform. */
  names(): readonly string[]
  /** Everything that a definition may use here, control types included. A new map after each change. */
  types(): NodeTypes
  /** Calls back after each change of the types; the returned function ends that. */
  onChange(listener: () => void): () => void
  /** Loads every module of the folder; answers what could not be loaded. */
  load(): Promise<readonly ModuleProblem[]>
  /** Loads one module again, or forgets its types when the file is gone. */
  reload(file: string): Promise<readonly ModuleProblem[]>
  /** Reloads what changes, until the returned function is called. */
  watch(clock: Clock, report: (file: string, problems: readonly ModuleProblem[]) => void): () => void
}

const MODULE_FILE = /^(?![._]).*(?<!\.d|\.test)\.(ts|js|mjs)$/
/** Editors write a file in several steps. */
const SETTLE_MS = 100

export function createRegistry(options: {
  readonly builtIn: readonly NodeType[]
  readonly folder?: string
}): NodeRegistry {
  const folder = options.folder === undefined ? undefined : resolve(options.folder)
  const builtIn = new Map(options.builtIn.map((type) => [type.info.type, type]))
  const modules = new Map<string, readonly NodeType[]>()
  let performed = new Map(builtIn)
  let known = describe(performed)
  const listeners = new Set<() => void>()
  let version = 0

  function index(): void {
    performed = new Map(builtIn)
    for (const types of modules.values()) for (const type of types) performed.set(type.info.type, type)
    known = describe(performed)
    for (const listener of listeners) listener()
  }

  async function loadModule(file: string): Promise<ModuleProblem[]> {
    let exports: Record<string, unknown>
    try {
      resolveOwnPackages()
      // Node keeps modules for ever by address; another version is another address.
      exports = await import(`${pathToFileURL(file).href}?version=${++version}`)
    } catch (error) {
      return [{ file, message: `The module could not be loaded: ${reason(error)}` }]
    }
    const problems: ModuleProblem[] = []
    const types: NodeType[] = []
    for (const type of new Set(Object.values(exports).filter(isNodeType))) {
      const name = type.info.type
      const owner = builtIn.has(name) ? 'Weft itself' : ownerOf(name, file)
      if (owner === undefined) types.push(type)
      else
        problems.push({
          file,
          message: `The node type \`${name}\` is already defined by ${owner}. Give this one another \`type\`.`,
        })
    }
    modules.set(file, types)
    return problems
  }

  const ownerOf = (name: string, except: string): string | undefined => {
    for (const [file, types] of modules) {
      if (file !== except && types.some(({ info }) => info.type === name)) return basename(file)
    }
    return undefined
  }

  async function filesOf(path: string): Promise<string[]> {
    const entries = await readdir(path, { withFileTypes: true })
    return entries
      .filter((entry) => entry.isFile() && MODULE_FILE.test(entry.name))
      .map(({ name }) => join(path, name))
      .sort()
  }

  const registry: NodeRegistry = {
    get: (type) => performed.get(type),
    names: () => [...performed.keys()],
    types: () => known,
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },

    async load() {
      if (folder === undefined) return []
      let files: string[]
      try {
        files = await filesOf(folder)
      } catch (error) {
        return [
          {
            file: folder,
            message: `The folder that WEFT_NODES names cannot be read: ${reason(error)}. Create it, or unset WEFT_NODES.`,
          },
        ]
      }
      const problems: ModuleProblem[] = []
      for (const file of files) problems.push(...(await loadModule(file)))
      index()
      return problems
    },

    async reload(file) {
      const path = resolve(file)
      if (folder === undefined || !(await filesOf(folder)).includes(path)) {
        modules.delete(path)
        index()
        return []
      }
      const problems = await loadModule(path)
      index()
      return problems
    },

    watch(clock, report) {
      if (folder === undefined) return () => {}
      const settling = new Map<string, () => void>()
      const watcher: FSWatcher = watch(folder, (_, name) => {
        if (name === null || !MODULE_FILE.test(name)) return
        settling.get(name)?.()
        settling.set(
          name,
          clock.after(SETTLE_MS, () => {
            settling.delete(name)
            const file = join(folder, name)
            registry.reload(file).then(
              (problems) => report(file, problems),
              (error) => report(file, [{ file, message: reason(error) }]),
            )
          }),
        )
      })
      watcher.unref()
      return () => {
        watcher.close()
        for (const withdraw of settling.values()) withdraw()
      }
    },
  }
  return registry
}

function describe(performed: ReadonlyMap<string, NodeType>): NodeTypes {
  const types = new Map<string, NodeTypeInfo>(CONTROL_NODE_TYPES.map((info) => [info.type, info]))
  for (const { info } of performed.values()) types.set(info.type, info)
  return types
}

const reason = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error)

let resolving = false

/** Lets a module outside this repository import what it needs: `@weft/server/nodes`, and the zod that comes along. */
function resolveOwnPackages(): void {
  if (resolving) return
  resolving = true
  registerHooks({
    resolve(specifier, context, next) {
      if (specifier === '@weft/server/nodes')
        return { url: new URL('./index.ts', import.meta.url).href, shortCircuit: true }
      try {
        return next(specifier, context)
      } catch (error) {
        if (specifier === 'zod') return next(specifier, { ...context, parentURL: import.meta.url })
        throw error
      }
    },
  })
}

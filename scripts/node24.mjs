// Runs a program of this repository on the Node that it brings along (the npm package `node`), whatever Node
// started us. Plain JavaScript for Node 18 and newer: it may run before anything is installed.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** The path of the Node 24 binary that belongs to this checkout. */
export function node24() {
  const own = join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  return existsSync(own) ? own : process.execPath
}

/** Whether every package that a `package.json` of this checkout asks for is there: a `git pull` may have named more. */
function isInstalled() {
  if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) return false
  return ['.', 'engine', 'server'].every((folder) => {
    const { dependencies, devDependencies } = JSON.parse(
      readFileSync(join(root, folder, 'package.json'), 'utf8'),
    )
    return Object.keys({ ...dependencies, ...devDependencies }).every(
      (name) =>
        existsSync(join(root, 'node_modules', name)) || existsSync(join(root, folder, 'node_modules', name)),
    )
  })
}

/** Installs the npm packages that this checkout lacks. Resolves to false when npm failed. */
export async function ensureInstalled() {
  if (isInstalled() && existsSync(join(root, 'node_modules', 'node', 'bin'))) return true
  process.stderr.write('Installing packages …\n')
  // Not `npm ci`: it refuses a lock file that lacks the optional packages of other systems, as npm itself writes them.
  const code = await run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return code === 0
}

/** Runs a program to its end, passing SIGINT and SIGTERM on. Resolves to its exit code. */
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: 'inherit',
      shell: process.platform === 'win32',
      ...options,
    })
    const pass = (signal) => child.kill(signal)
    process.on('SIGINT', pass)
    process.on('SIGTERM', pass)
    child.on('error', (error) => {
      process.stderr.write(`${command} could not be started: ${error.message}\n`)
      resolve(127)
    })
    child.on('exit', (code, signal) => {
      process.off('SIGINT', pass)
      process.off('SIGTERM', pass)
      resolve(code ?? (signal === 'SIGINT' ? 130 : 143))
    })
  })
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  if (!(await ensureInstalled())) process.exit(1)
  process.exit(await run(node24(), process.argv.slice(2)))
}

/**
 * What every store owes its users. Run by one test file per implementation; the cases stand in files by what they are
 * about.
 */
import { afterAll, beforeAll, describe } from 'vitest'
import { appendCases } from './store-append.ts'
import { beginCases } from './store-begin.ts'
import { commandCases } from './store-commands.ts'
import type { OpenedStore } from './store-fixture.ts'
import { nounCases } from './store-nouns.ts'
import { ownershipCases } from './store-ownership.ts'
import { retentionCases } from './store-retention.ts'
import { runListCases } from './store-runs.ts'

export function storeSuite(name: string, open: () => Promise<OpenedStore>): void {
  describe(`store: ${name}`, () => {
    let opened: OpenedStore
    const current = (): OpenedStore => opened

    beforeAll(async () => {
      opened = await open()
    })
    afterAll(async () => {
      await opened.close()
    })

    beginCases(current)
    runListCases(current)
    appendCases(current)
    commandCases(current)
    ownershipCases(current)
    retentionCases(current)
    nounCases(current)
  })
}

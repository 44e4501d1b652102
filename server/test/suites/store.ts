/**
 * What every store owes its users. Run by one test file per implementation; the cases stand in files by what they are
 * about.
 */
import { afterAll, beforeAll, describe } from 'vitest'
import type { RunStore, Store } from '../../src/store/store.ts'
import { appendCases } from './store-append.ts'
import { beginCases } from './store-begin.ts'
import { commandCases } from './store-commands.ts'
import type { Opened, OpenedStore } from './store-fixture.ts'
import { messageCases } from './store-messages.ts'
import { nounCases } from './store-nouns.ts'
import { ownershipCases } from './store-ownership.ts'
import { retentionCases } from './store-retention.ts'
import { runListCases } from './store-runs.ts'
import { upkeepCases } from './store-upkeep.ts'

/** For a store that holds everything. */
export function storeSuite(name: string, open: () => Promise<OpenedStore<Store>>): void {
  suite(name, open, (opened) => {
    runCases(opened)
    upkeepCases(opened)
  })
}

/** For a store that holds what runs need. */
export function runStoreSuite(name: string, open: () => Promise<OpenedStore>): void {
  suite(name, open, runCases)
}

function suite<Of extends RunStore>(
  name: string,
  open: () => Promise<OpenedStore<Of>>,
  cases: (opened: Opened<Of>) => void,
): void {
  describe(`store: ${name}`, () => {
    let opened: OpenedStore<Of>
    beforeAll(async () => {
      opened = await open()
    })
    afterAll(async () => {
      await opened.close()
    })
    cases(() => opened)
  })
}

function runCases(opened: Opened): void {
  beginCases(opened)
  runListCases(opened)
  appendCases(opened)
  commandCases(opened)
  messageCases(opened)
  ownershipCases(opened)
  retentionCases(opened)
  nounCases(opened)
}

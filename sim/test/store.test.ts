/** The store's conformance suite on the simulator's twin: what it is trusted for. */
import { systemClock } from '../../server/src/clock.ts'
import { runStoreSuite } from '../../server/test/suites/store.ts'
import { Tables } from '../src/store/tables.ts'
import { twinStore } from '../src/store.ts'

runStoreSuite('the simulator’s twin', async () => {
  const tables = new Tables()
  const clock = systemClock()
  const close = async (): Promise<void> => {}
  return {
    store: twinStore(tables, clock),
    another: async () => ({ ...twinStore(tables, clock), close }),
    async sever(owner) {
      for (const session of [...tables.sessions]) if (session.name === owner) session.end()
    },
    close,
  }
})

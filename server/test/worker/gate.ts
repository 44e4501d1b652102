/** A promise and its handle: tests wait for what happens, not for time. */
export function gate<T = void>(): { open: (value: T) => void; passed: Promise<T> } {
  let open!: (value: T) => void
  const passed = new Promise<T>((resolve) => {
    open = resolve
  })
  return { open, passed }
}

/**
 * A first-in-first-out queue from whose middle an element leaves in constant time: the links stand in the elements, so
 * that nothing is searched and nothing is shifted. An element is in one list at a time.
 */
export interface Linked {
  previous: Linked | null
  next: Linked | null
}

export class LinkedList<Element extends Linked> {
  #first: Element | null = null
  #last: Element | null = null
  #size = 0

  get size(): number {
    return this.#size
  }

  get first(): Element | null {
    return this.#first
  }

  append(element: Element): void {
    element.previous = this.#last
    element.next = null
    if (this.#last === null) this.#first = element
    else this.#last.next = element
    this.#last = element
    this.#size++
  }

  prepend(element: Element): void {
    element.next = this.#first
    element.previous = null
    if (this.#first === null) this.#last = element
    else this.#first.previous = element
    this.#first = element
    this.#size++
  }

  /** Takes out an element that is in this list. */
  remove(element: Element): void {
    if (element.previous === null) this.#first = element.next as Element | null
    else element.previous.next = element.next
    if (element.next === null) this.#last = element.previous as Element | null
    else element.next.previous = element.previous
    element.previous = null
    element.next = null
    this.#size--
  }

  shift(): Element | null {
    const element = this.#first
    if (element !== null) this.remove(element)
    return element
  }
}

/** What a YAML error says to somebody who did not mean to write YAML's special characters. */
import type { YAMLError } from 'yaml'

const QUOTE = 'Put the text into quotes.'

export function explainYaml(error: YAMLError, text: string): { code: string; message: string } {
  const found = text.slice(error.pos[0], error.pos[1])
  switch (error.code) {
    case 'DUPLICATE_KEY': {
      const key =
        /^[^\s:]*/.exec(text.slice(error.pos[0], error.pos[0] + 100))?.[0].replace(/["']/g, '') ?? ''
      return {
        code: 'duplicate_key',
        message: `The key \`${key}\` stands twice in this map; only one can count. Remove one.`,
      }
    }
    case 'TAG_RESOLVE_FAILED':
      return {
        code: 'yaml_tag',
        message: `\`!\` starts a tag in YAML, and \`${found.split(/\s/)[0]}\` is none that is known here. A text or expression that begins with \`!\` needs quotes, as in \`when: "!input.ready"\`.`,
      }
    case 'TAB_AS_INDENT':
      return syntax('YAML is indented with spaces; here is a tab. Replace it.')
    case 'BAD_SCALAR_START':
      return syntax(`A text cannot begin with \`${found.slice(0, 1)}\` in YAML. ${QUOTE}`)
    case 'BLOCK_AS_IMPLICIT_KEY':
      return syntax(`A colon and a space begin a value in YAML, and this text holds them. ${QUOTE}`)
    case 'MULTIPLE_DOCS':
      return syntax(
        'The file holds several documents, separated by `---`; a workflow is one. Split the file.',
      )
    case 'RESOURCE_EXHAUSTION':
      return { code: 'yaml_too_deep', message: 'The document is nested too deeply.' }
    case 'MISSING_CHAR':
      return syntax(
        `${error.message.replace(/closing "quote/, 'closing "').replace(/closing 'quote/, "closing '")}. A quote, bracket or colon was opened or begun and not completed.`,
      )
    case 'BAD_INDENT':
      return syntax(
        `${error.message}. Lines of one map or list begin in the same column, and what belongs to a key stands further right.`,
      )
    case 'UNEXPECTED_TOKEN':
    case 'IMPOSSIBLE':
      return syntax(
        `${error.message}. A text with quotes, colons, commas or brackets in it needs quotes around the whole.`,
      )
    default:
      return syntax(`${error.message}.`)
  }
}

const syntax = (message: string): { code: string; message: string } => ({ code: 'yaml_syntax', message })

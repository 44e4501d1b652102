/** What a module of node types imports: `import { defineNode, NodeError, z } from '@weft/server/nodes'`. */
export { z } from 'zod'
export { defineNode, NodeDeclarationError, result } from './define-node.ts'
export { NodeError } from './errors.ts'
export type { NodeBlobs, NodeContext, NodeDefinitionInput, NodeResult, NodeType } from './node-type.ts'

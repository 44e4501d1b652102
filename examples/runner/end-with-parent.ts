/**
 * Preloaded into a server that a supervisor starts (`node --import`): the supervisor holds the other end of standard
 * input, and its death, by whatever means, closes that. The server then stops as if it had been asked to.
 */
process.stdin.once('close', () => process.kill(process.pid, 'SIGTERM')).resume()
// Listening for that alone must not keep a server alive that wants to end.
process.stdin.unref()

import { PassThrough } from 'node:stream'
import t from 'tap'
import { answerLines } from '../../cli/answer-lines.ts'
import { Output } from '../../cli/output.ts'
import type { Belfry } from '../../packages/client/src/index.ts'
import { until } from '../fixtures/wait.ts'

t.test('a line that fits several notifications answers none of them, and says which they are', async (t) => {
  const input = new PassThrough()
  const stderr = new PassThrough()
  const answers: string[][] = []
  let arrive: (context: object) => void = () => {}
  const belfry = {
    on: (_event: string, handler: (context: object) => void) => {
      arrive = handler
    },
    answer: async (id: string, action: string) => void answers.push([id, action])
  } as unknown as Belfry
  const lines = answerLines(input, belfry, new Output(false, new PassThrough(), stderr))
  for (const id of ['8Kxa', '8Kya', '8Kza', '8Kzb', '8K', '9']) arrive({ notification: { id, actions: [] } })
  input.write('a 8Kz approve\na 8 approve\na 8K approve\na 9 decline\na other approve\n')
  await until(() => answers.length === 3, 'the answers')
  t.same(answers, [
    ['8K', 'approve'],
    ['9', 'decline'],
    ['other', 'approve']
  ])
  const told = String(stderr.read())
  t.match(told, 'belfry: several ids begin with 8Kz: 8Kzb, 8Kza\ntype more characters of the id\n')
  t.match(told, 'belfry: several ids begin with 8: 8K, 8Kzb, 8Kza, …\n')
  lines.close()
})

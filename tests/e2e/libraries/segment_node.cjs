// What a server with Segment's library for Node.js says of one user: node segment_node.cjs URL KEY USER GROUP TIME
const { Analytics } = require('@segment/analytics-node')

const [url, writeKey, userId, groupId, time] = process.argv.slice(2)
const analytics = new Analytics({ writeKey, host: url })
analytics.on('error', (error) => {
  console.error(error)
  process.exitCode = 1
})
const timestamp = new Date(time)
analytics.identify({ userId, traits: { email: `${userId}@acme.test`, firstName: 'Ann', lastName: 'Lee' }, timestamp })
analytics.group({ userId, groupId, traits: { name: 'Acme', plan: 'pro' }, timestamp })
analytics.track({ userId, event: 'Ticket Opened', properties: { severity: 'high' }, timestamp })
analytics.page({ userId, name: 'Pricing', timestamp })
analytics.closeAndFlush()

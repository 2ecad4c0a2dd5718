// What a server with RudderStack's library for Node.js says of one user: node rudder_node.cjs URL KEY USER GROUP TIME
const RudderAnalytics = require('@rudderstack/rudder-sdk-node')

const [url, writeKey, userId, groupId, time] = process.argv.slice(2)
const analytics = new RudderAnalytics(writeKey, { dataPlaneUrl: url, flushInterval: 50, retryCount: 0 })
const originalTimestamp = new Date(time)
const traits = { email: `${userId}@acme.test`, firstName: 'Ann', lastName: 'Lee' }
analytics.identify({ userId, traits, originalTimestamp })
analytics.group({ userId, groupId, traits: { name: 'Acme', plan: 'pro' }, originalTimestamp })
analytics.track({ userId, event: 'Ticket Opened', properties: { severity: 'high' }, originalTimestamp })
analytics.page({ userId, name: 'Pricing', originalTimestamp })
analytics.flush().catch((error) => {
  console.error(error)
  process.exitCode = 1
})

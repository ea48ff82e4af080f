// The namespace with the two hubs. Standard or higher: Basic has no Kafka endpoint. Nobody gets in with a key.

param location string
param name string

@allowed([
  'Standard'
  'Premium'
])
param skuName string

@minValue(1)
param capacity int

@minValue(1)
@maxValue(32)
param partitionCount int

@minValue(1)
@maxValue(168)
@description('How long events are kept; a stream that stands still for longer loses some.')
param retentionHours int
param predictionsHub string
param feedbackHub string

@description('The consumer groups of each hub, one for each reader.')
param consumerGroups array
param receiverPrincipalId string
param senderPrincipalId string

var hubNames = [
  predictionsHub
  feedbackHub
]
var hubGroups = flatten(map(hubNames, hub => map(consumerGroups, group => { hub: hub, group: group })))
var dataReceiver = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'a638d3c7-ab3a-418d-83e6-5f17a39d4fde')
var dataSender = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '2b629674-e913-4c01-ae53-ef4638d8f975')

resource namespace 'Microsoft.EventHub/namespaces@2024-01-01' = {
  name: name
  location: location
  sku: {
    name: skuName
    tier: skuName
    capacity: capacity
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    kafkaEnabled: true
  }
}

resource hubs 'Microsoft.EventHub/namespaces/eventhubs@2024-01-01' = [for hub in hubNames: {
  parent: namespace
  name: hub
  properties: {
    partitionCount: partitionCount
    retentionDescription: {
      cleanupPolicy: 'Delete'
      retentionTimeInHours: retentionHours
    }
  }
}]

resource groups 'Microsoft.EventHub/namespaces/eventhubs/consumergroups@2024-01-01' = [for pair in hubGroups: {
  name: '${name}/${pair.hub}/${pair.group}'
  properties: {}
  dependsOn: [
    hubs
  ]
}]

resource receivers 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (hub, i) in hubNames: {
  scope: hubs[i]
  name: guid(namespace.id, hub, receiverPrincipalId, dataReceiver)
  properties: {
    principalId: receiverPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: dataReceiver
  }
}]

resource senders 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (hub, i) in hubNames: {
  scope: hubs[i]
  name: guid(namespace.id, hub, senderPrincipalId, dataSender)
  properties: {
    principalId: senderPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: dataSender
  }
}]

output namespaceId string = namespace.id
output host string = '${name}.servicebus.windows.net'
output kafkaServers string = '${name}.servicebus.windows.net:9093'

// One account with one container: the tables and checkpoints of Pegel. No key opens it.

param location string
param name string
param containerName string
param skuName string

@description('The folder of the tables in the container; storage.root of the settings ends with it.')
param tablesFolder string
param streamPrincipalId string
param modelsPrincipalId string
param webhookPrincipalId string

var blobContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
var blobReader = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1')
var blobDelegator = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'db58b8e5-c6ad-4a2a-8342-4190687cbf4a')
var databricksPrincipals = [
  streamPrincipalId
  modelsPrincipalId
]

// The intake writes its own three tables and nothing else, whatever somebody makes of it.
var blobs = 'Microsoft.Storage/storageAccounts/blobServices/containers/blobs'
var onlyWebhookTables = '((!(ActionMatches{\'${blobs}/write\'}) AND !(ActionMatches{\'${blobs}/add/action\'}) AND !(ActionMatches{\'${blobs}/move/action\'}) AND !(ActionMatches{\'${blobs}/delete\'})) OR (@Resource[${blobs}:path] StringLike \'${tablesFolder}/webhook_calls*\' OR @Resource[${blobs}:path] StringLike \'${tablesFolder}/silences*\' OR @Resource[${blobs}:path] StringLike \'${tablesFolder}/audit_events_webhook*\'))'

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: name
  location: location
  kind: 'StorageV2'
  sku: {
    name: skuName
  }
  properties: {
    isHnsEnabled: true
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }
}

resource blobService 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = {
  parent: account
  name: 'default'
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = {
  parent: blobService
  name: containerName
  properties: {
    publicAccess: 'None'
  }
}

resource contributors 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for principal in databricksPrincipals: {
  scope: container
  name: guid(container.id, principal, blobContributor)
  properties: {
    principalId: principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobContributor
  }
}]

// Unity Catalog hands out short-lived signatures for paths, for which the account itself has to be asked.
resource delegators 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for principal in databricksPrincipals: {
  scope: account
  name: guid(account.id, principal, blobDelegator)
  properties: {
    principalId: principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobDelegator
  }
}]

resource webhookReads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: container
  name: guid(container.id, webhookPrincipalId, blobReader)
  properties: {
    principalId: webhookPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobReader
  }
}

resource webhookWrites 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: container
  name: guid(container.id, webhookPrincipalId, blobContributor)
  properties: {
    principalId: webhookPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobContributor
    conditionVersion: '2.0'
    condition: onlyWebhookTables
  }
}

output accountName string = account.name
output containerUri string = 'abfss://${containerName}@${account.name}.dfs.${environment().suffixes.storage}'

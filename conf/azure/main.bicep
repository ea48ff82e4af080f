// All that Pegel needs on Azure, in one resource group. docs/deploy.md says what to type.
// No output holds a key, and no service takes one: whoever acts here is an identity of Entra.

targetScope = 'resourceGroup'

@description('Where everything is made.')
param location string = resourceGroup().location

@description('The beginning of every name: lower-case letters and digits.')
@minLength(3)
@maxLength(10)
param prefix string = 'pegel'

@description('Tier of the Event Hubs namespace; Basic has no Kafka endpoint.')
@allowed([
  'Standard'
  'Premium'
])
param eventHubsSku string = 'Standard'

@description('Throughput units: each takes 1,000 events or 1 MB a second.')
param eventHubsCapacity int = 1

@description('Partitions of each hub; a partition carries about one throughput unit.')
param partitionCount int = 4

@description('How long the hubs keep events.')
param eventRetentionHours int = 72

@description('How the tables are kept: in three zones (ZRS), or in one where the region has no zones (LRS).')
@allowed([
  'Standard_LRS'
  'Standard_ZRS'
])
param storageSku string = 'Standard_ZRS'

@description('How long alerts are kept in Log Analytics.')
@minValue(30)
@maxValue(730)
param alertRetentionDays int = 90

@description('Where people are paged.')
param pageEmail string

@description('Whom broken data and changed labels call; those who are on call, unless told otherwise.')
param dataOwnerEmail string = pageEmail

@description('The public address of `pegel webhook`, https.')
param webhookUri string

@description('Object id of the application registration that the webhook stands behind.')
param webhookApplicationObjectId string

@description('Identifier URI of that registration, api://…')
param webhookIdentifierUri string

@description('Object id of the enterprise application AzureDatabricks in the tenant; empty: no secret scope.')
param databricksApplicationObjectId string = ''

@description('Name of the Azure OpenAI deployment; empty: none is made.')
param openAiDeploymentName string = ''

@description('Model of the deployment, as the region offers it.')
param openAiModelName string = ''

@description('Version of the model.')
param openAiModelVersion string = ''

@description('What the model is offered as in the region: Standard, GlobalStandard, …')
param openAiDeploymentSku string = ''

@description('Thousands of tokens a minute.')
param openAiDeploymentCapacity int = 10

var unique = substring(uniqueString(resourceGroup().id), 0, 8)
var predictionsHub = 'predictions'
var feedbackHub = 'feedback'
var containerName = 'pegel'
var tablesFolder = 'tables'

module identities 'modules/identities.bicep' = {
  name: 'identities'
  params: {
    location: location
    prefix: prefix
  }
}

module eventHubs 'modules/eventhubs.bicep' = {
  name: 'eventhubs'
  params: {
    location: location
    name: '${prefix}-${unique}-events'
    skuName: eventHubsSku
    capacity: eventHubsCapacity
    partitionCount: partitionCount
    retentionHours: eventRetentionHours
    predictionsHub: predictionsHub
    feedbackHub: feedbackHub
    consumerGroups: [
      'pegel'
    ]
    receiverPrincipalId: identities.outputs.streamPrincipalId
    senderPrincipalId: identities.outputs.modelsPrincipalId
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    location: location
    name: '${prefix}${unique}'
    containerName: containerName
    skuName: storageSku
    tablesFolder: tablesFolder
    streamPrincipalId: identities.outputs.streamPrincipalId
    modelsPrincipalId: identities.outputs.modelsPrincipalId
    webhookPrincipalId: identities.outputs.webhookPrincipalId
  }
}

module keyVault 'modules/keyvault.bicep' = {
  name: 'keyvault'
  params: {
    location: location
    name: '${prefix}-${unique}'
    modelsPrincipalId: identities.outputs.modelsPrincipalId
    databricksApplicationObjectId: databricksApplicationObjectId
  }
}

module databricks 'modules/databricks.bicep' = {
  name: 'databricks'
  params: {
    location: location
    name: '${prefix}-databricks'
    streamIdentityId: identities.outputs.streamId
    modelsIdentityId: identities.outputs.modelsId
  }
}

module logs 'modules/logs.bicep' = {
  name: 'logs'
  params: {
    location: location
    prefix: prefix
    retentionDays: alertRetentionDays
    publisherPrincipalId: identities.outputs.streamPrincipalId
  }
}

module alerting 'modules/alerting.bicep' = {
  name: 'alerting'
  params: {
    location: location
    prefix: prefix
    logsWorkspaceId: logs.outputs.workspaceId
    eventHubsNamespaceId: eventHubs.outputs.namespaceId
    predictionsHub: predictionsHub
    pageEmail: pageEmail
    dataOwnerEmail: dataOwnerEmail
    webhookUri: webhookUri
    webhookApplicationObjectId: webhookApplicationObjectId
    webhookIdentifierUri: webhookIdentifierUri
  }
}

module openAi 'modules/openai.bicep' = if (!empty(openAiDeploymentName)) {
  name: 'openai'
  params: {
    location: location
    name: '${prefix}-${unique}-openai'
    deploymentName: openAiDeploymentName
    modelName: openAiModelName
    modelVersion: openAiModelVersion
    deploymentSku: openAiDeploymentSku
    deploymentCapacity: openAiDeploymentCapacity
    userPrincipalId: identities.outputs.modelsPrincipalId
  }
}

output databricksHost string = databricks.outputs.workspaceUrl
output databricksResourceId string = databricks.outputs.workspaceResourceId
output streamConnectorId string = databricks.outputs.streamConnectorId
output modelsConnectorId string = databricks.outputs.modelsConnectorId
output streamIdentityId string = identities.outputs.streamId
output modelsIdentityId string = identities.outputs.modelsId
output modelsClientId string = identities.outputs.modelsClientId
output webhookClientId string = identities.outputs.webhookClientId
output eventHubsHost string = eventHubs.outputs.host
output kafkaServers string = eventHubs.outputs.kafkaServers
output storageAccountName string = storage.outputs.accountName
output containerUri string = storage.outputs.containerUri
output tablesRoot string = '${storage.outputs.containerUri}/${tablesFolder}'
output vaultUri string = keyVault.outputs.vaultUri
output vaultId string = keyVault.outputs.vaultId
output ingestionEndpoint string = logs.outputs.ingestionEndpoint
output ingestionRuleId string = logs.outputs.ruleImmutableId
output openAiBaseUrl string = !empty(openAiDeploymentName) ? openAi!.outputs.baseUrl : ''

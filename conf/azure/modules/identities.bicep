// Three identities, one for each part of Pegel that acts by itself. Their rights are given where the resources are made,
// each at the narrowest scope that Azure offers for it.

param location string
param prefix string

@description('The streaming job and the delivery of alerts: reads events, writes tables, sends alerts.')
resource stream 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${prefix}-stream'
  location: location
}

@description('Retraining and serving: writes tables, sends events, calls the language model.')
resource models 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${prefix}-models'
  location: location
}

@description('The intake of alerts: reads tables, writes two of them, starts one job. It is the part that the internet reaches.')
resource webhook 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${prefix}-webhook'
  location: location
}

output streamId string = stream.id
output streamPrincipalId string = stream.properties.principalId
output modelsId string = models.id
output modelsPrincipalId string = models.properties.principalId
output modelsClientId string = models.properties.clientId
output webhookPrincipalId string = webhook.properties.principalId
output webhookClientId string = webhook.properties.clientId

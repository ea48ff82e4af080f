// Azure OpenAI with one deployment. What is offered differs by region and month, so model and version have no default.

param location string

@description('Also the host name: https://<name>.openai.azure.com')
param name string

@description('What the settings call the deployment; it is the `model` of every call.')
param deploymentName string
param modelName string
param modelVersion string

@description('Standard, GlobalStandard, …: what the model is offered as in the region.')
param deploymentSku string

@description('Thousands of tokens a minute.')
@minValue(1)
param deploymentCapacity int
param userPrincipalId string

var openAiUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd')

resource account 'Microsoft.CognitiveServices/accounts@2024-10-01' = {
  name: name
  location: location
  kind: 'OpenAI'
  sku: {
    name: 'S0'
  }
  properties: {
    customSubDomainName: name
    disableLocalAuth: true
    publicNetworkAccess: 'Enabled'
  }
}

resource deployment 'Microsoft.CognitiveServices/accounts/deployments@2024-10-01' = {
  parent: account
  name: deploymentName
  sku: {
    name: deploymentSku
    capacity: deploymentCapacity
  }
  properties: {
    model: {
      format: 'OpenAI'
      name: modelName
      version: modelVersion
    }
    // The version that was evaluated stays until somebody changes it.
    versionUpgradeOption: 'NoAutoUpgrade'
  }
}

resource modelsCall 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: account
  name: guid(account.id, userPrincipalId, openAiUser)
  properties: {
    principalId: userPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: openAiUser
  }
}

output baseUrl string = '${account.properties.endpoint}openai/v1/'

// The vault for what cannot be an identity: keys of callers, keys of services of others. Nothing is put in by the template.

param location string
param name string
param modelsPrincipalId string

@description('Object id of the enterprise application AzureDatabricks in the tenant, which reads for the secret scope; empty: no scope.')
param databricksApplicationObjectId string

var secretsUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: name
  location: location
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enablePurgeProtection: true
    softDeleteRetentionInDays: 90
  }
}

resource modelsReadSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, modelsPrincipalId, secretsUser)
  properties: {
    principalId: modelsPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: secretsUser
  }
}

resource databricksReadsSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(databricksApplicationObjectId)) {
  scope: vault
  name: guid(vault.id, databricksApplicationObjectId, secretsUser)
  properties: {
    principalId: databricksApplicationObjectId
    principalType: 'ServicePrincipal'
    roleDefinitionId: secretsUser
  }
}

output vaultId string = vault.id
output vaultUri string = vault.properties.vaultUri

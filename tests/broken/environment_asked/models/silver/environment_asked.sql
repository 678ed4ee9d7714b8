select '{{ env_var('STAGE') }}' as id
